//! What the AnyRef part crates share without knowing one another.
//!
//! * [`nn`]: layers whose PyTorch counterparts have parameters (`LayerNorm`, `RmsNorm`, `LayerNorm2d`).
//! * [`ops`]: parameter-free tensor operations (attention, activations) with a composed form for every
//!   backend and fused forms where a backend has one.
//! * [`checkpoint`]: tensors by name from safetensors files, PyTorch files and folders with shards.
//! * [`load_module`] and [`save_module`]: a module from a checkpoint and back, in PyTorch's names and
//!   layout; a load ends in a strict [`LoadReport`].
//! * [`testing`]: seeded modules, fixtures and comparisons for tests.

#![recursion_limit = "256"]

pub mod checkpoint;
mod error;
mod layout;
mod load;
mod load_options;
pub mod nn;
pub mod ops;
mod report;
mod save;
mod store;
pub mod testing;

pub use checkpoint::{Checkpoint, TensorEntry};
pub use error::{Error, LoadError, Result};
pub use load::load_module;
pub use load_options::LoadOptions;
pub use report::{LoadReport, ShapeMismatch, TypeMismatch, Unexpected};
pub use save::{SaveOptions, save_module};
