//! Ablations: one training configuration with one thing changed at a time, each by several seeds, asked the same
//! questions.
//!
//! [`ablate`] trains and evaluates what [`AblationConfig`] lists and keeps one [`RunResult`] a run; [`table`] says what
//! the changes did.

mod config;
mod merge;
mod result;
mod run;
mod table;

pub use config::{AblationConfig, Evaluation, Variant};
pub use merge::merge;
pub use result::{KindResult, RunResult};
pub use run::ablate;
pub use table::table;
