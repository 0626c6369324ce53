//! References that a model was not trained with, turned into words that it reads or into prompts of
//! SAM's own.
//!
//! | reference | mask | words |
//! | --- | --- | --- |
//! | box | SAM's own box prompt | the crop, named; of two names the one that is understood better |
//! | picture | its name is asked for; of the masks the one that looks most like it | its name |
//! | sound | ImageBind's labels for it are asked for; the mask of the highest estimate first | its label |
//!
//! In questions of one's own, in mixtures, in chats and in explanations each such reference stands as its
//! name.

mod answer;
mod listener;
mod naming;
mod options;
mod phrase;
mod record;
mod rewrite;
mod similarity;

pub use options::BridgeOptions;
pub use record::{Bridge, BridgeLabel, BridgeWay};
