//! References that a model was not trained with, converted to words that it reads or to prompts of
//! SAM's own.
//!
//! | reference | mask | words |
//! | --- | --- | --- |
//! | box | SAM's own box prompt | name of the crop; of two names the better understood one |
//! | picture | the most similar one of the masks for its name | its name |
//! | sound | masks for ImageBind's labels, highest estimate first | its label |
//!
//! In custom questions, combinations, chats and explanations each of these references is replaced
//! by its name.

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
