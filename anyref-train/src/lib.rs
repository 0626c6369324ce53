//! Data sets, losses, training loop, checkpoints and evaluation of AnyRef.
pub mod data;
