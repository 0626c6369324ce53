//! What the AnyRef part crates share without knowing one another.
//!
//! * [`nn`]: layers whose PyTorch counterparts have parameters (`LayerNorm`, `RmsNorm`, `LayerNorm2d`).
//! * [`ops`]: parameter-free tensor operations (attention, activations) with a composed form for every
//!   backend and fused forms where a backend has one.
//! * checkpoint formats, casts and load reports.

#![recursion_limit = "256"]

pub mod nn;
pub mod ops;
