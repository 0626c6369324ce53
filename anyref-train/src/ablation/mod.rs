//! Ablations: one training configuration with one change at a time, each with several seeds,
//! evaluated on the same questions.
//!
//! [`ablate`] trains and evaluates the variants of an [`AblationConfig`] and keeps one
//! [`RunResult`] a run; [`table`] compares them.

mod config;
mod error;
mod result;
mod run;
mod table;

pub use config::{AblationConfig, Evaluation, Variant};
pub use error::{AblationError, Result};
pub use result::{KindResult, RunResult};
pub use run::ablate;
pub use table::table;
