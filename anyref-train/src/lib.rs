//! Data sets, losses, training loop, checkpoints and evaluation of AnyRef.
//!
//! * [`data`]: endless scenes and the instruction pairs asked about them.
//! * [`datasets`]: the published data sets, read from their layouts, and their mixtures.
//! * [`stages`]: what is learned, in the paper's order: each encoder as its original was, then the
//!   instructions.
//! * [`run`]: how a stage is carried out: optimizer, schedule, checkpoints, log.
//! * [`eval`]: what a trained model knows.
//! * [`ablation`]: what single decisions do, over several seeds.
//! * [`failure`]: how programs end that went wrong.

#![recursion_limit = "256"]

pub mod ablation;
pub mod losses;
pub mod run;
pub mod stages;
pub mod trainee;
