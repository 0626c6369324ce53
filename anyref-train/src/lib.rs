//! Data sets, losses, training loop, checkpoints and evaluation of AnyRef.
