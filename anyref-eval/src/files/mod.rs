//! Predictions and targets as JSON Lines files, one object a line.
//!
//! A prediction is
//!
//! ```json
//! {"id": "12-0", "text": "the dog.",
//!  "masks": [{"size": [480, 640], "counts": "<COCO RLE>", "score": 0.9}]}
//! ```
//!
//! on one line, with `size` as height and width and an optional `score`; `"masks": []` means that
//! nothing was found. `"no_target": true` states that the expression has no target, whatever the
//! masks are; without it, a prediction without any pixel states so. `"soft": "maps/12.png"`, a path
//! relative to the file's folder, is an 8-bit grey picture of probabilities
//! ([`SoftMask`](super::metrics::SoftMask)). `"refused": "why"` states that the system refused the
//! question, which counts as an answer without masks and words.
//!
//! A target is
//!
//! ```json
//! {"id": "12-0", "image": "12.jpg", "size": [480, 640],
//!  "masks": [{"size": [480, 640], "counts": "<COCO RLE>"}],
//!  "expressions": ["dog on the left"], "category": "dog", "fold": 0, "video": "v7",
//!  "ignore": {"size": [480, 640], "counts": "<COCO RLE>"}}
//! ```
//!
//! on one line; each benchmark needs only its own fields. `"masks": []` means that there is no
//! target. `question` and `references` (`{"text": …}`, `{"box": …}`,
//! `{"image": {"path": …, "area": …}}`, `{"audio": …}`) are for pages of cases. Identifiers may be
//! integers. Other fields are ignored.

mod error;
mod lines;
mod prediction;
mod target;

pub use error::{Error, Fault, Result};
pub use prediction::{Prediction, ScoredMask, read_predictions};
pub use target::{Target, Targets};
