//! Gradient checkpointing: values recomputed in the backward pass instead of being kept, layer by
//! layer ([`Checkpointed`]) or element by element ([`Recomputing`]).

mod elementwise;
mod layers;

pub use elementwise::Recomputing;
pub(crate) use layers::{Boundary, Checkpointed, Layers, States};
