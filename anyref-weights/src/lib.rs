//! What the AnyRef part crates share without knowing one another.
//!
//! * [`nn`]: layers whose PyTorch counterparts have parameters (`LayerNorm`, `RmsNorm`, `LayerNorm2d`).
//! * [`ops`]: parameter-free tensor operations (attention, activations) with a composed form for every
//!   backend and fused forms where a backend has one.
//! * [`checkpoint`]: tensors by name from safetensors files, PyTorch files and folders with shards.
//! * [`read_plain_pickle`]: annotations that are published as pickles, without running them.
//! * [`hub`]: `hf://org/name` wherever a path is taken, with the feature `hub`.
//! * [`load_module`] and [`save_module`]: a module from a checkpoint and back, in PyTorch's names and
//!   layout; a load ends in a strict [`LoadReport`], which [`check_module`] gives without loading.
//! * [`write_checkpoint`]: tensors from anywhere into one file or shards, one at a time.
//! * [`testing`]: seeded modules, fixtures and comparisons for tests.

#![recursion_limit = "256"]

pub mod checkpoint;
mod error;
pub mod hub;
mod layout;
mod load;
mod load_options;
pub mod nn;
pub mod ops;
mod parameters;
mod report;
mod room;
mod save;
mod store;
mod stored_order;
pub mod testing;
mod weight_type;
mod write;

pub use checkpoint::{Checkpoint, TensorEntry, read_plain_pickle};
pub use error::{Error, LoadError, Result};
pub use hub::local_path;
pub use load::{check_module, load_module, renamed_tensors};
pub use load_options::LoadOptions;
pub use parameters::{Parameter, parameters};
pub use report::{LoadReport, ShapeMismatch, TypeMismatch, Unexpected};
pub use room::end_without_room;
pub use save::{SaveOptions, output_tensors, save_module};
pub use stored_order::as_loaded;
pub use weight_type::WeightType;
pub use write::{OutputTensor, write_checkpoint};
