//! Predictions and what they are scored against, as files: one JSON object a line.
//!
//! A prediction is
//!
//! ```json
//! {"id": "12-0", "text": "the dog.", "masks": [{"size": [480, 640], "counts": "<COCO RLE>", "score": 0.9}]}
//! ```
//!
//! where `size` is height and width, `score` may be left out, and nothing found is `"masks": []`.
//! Where it matters, `"no_target": true` says that nothing is meant whatever the masks are (without
//! it, a prediction without any pixel says so), and `"soft": "maps/12.png"`, a path from the file's
//! folder, is an 8-bit grey picture of probabilities ([`SoftMask`](super::metrics::SoftMask)).
//! `"refused": "why"` says that the system did not take the question, which counts as an answer
//! without masks and words.
//!
//! A target is
//!
//! ```json
//! {"id": "12-0", "image": "12.jpg", "size": [480, 640], "masks": [{"size": [480, 640], "counts": "<COCO RLE>"}],
//!  "expressions": ["dog on the left"], "category": "dog", "fold": 0, "video": "v7",
//!  "ignore": {"size": [480, 640], "counts": "<COCO RLE>"}}
//! ```
//!
//! on one line, of which a benchmark needs only what it speaks of: `"masks": []` means that there
//! is nothing to find. `question` and `references` (`{"text": …}`, `{"box": …}`, `{"image":
//! {"path": …, "area": …}}`, `{"audio": …}`) are for pages of cases. Ids may be numbers. Fields
//! with other names are left alone.

mod error;
mod lines;
mod prediction;
mod target;

pub use error::{Error, Fault, Result};
pub use prediction::{Prediction, ScoredMask, read_predictions};
pub use target::{Target, Targets};
