//! Checkpoints of the AnyRef crates: reading, checking and writing weights, and the Hugging Face hub.
//!
//! * [`checkpoint`]: tensors by name from safetensors files, PyTorch files and folders with shards.
//! * [`read_plain_pickle`]: annotations that are published as pickles, without running them.
//! * [`hub`]: `hf://org/name` wherever a path is taken, with the feature `hub`.
//! * [`load_module`] and [`save_module`]: a module from a checkpoint and back, in PyTorch's names and
//!   layout; a load ends in a strict [`LoadReport`], which [`check_module`] gives without loading.
//! * [`write_checkpoint`]: tensors from anywhere into one file or shards, one at a time.
//! * [`testing`]: fixture files for tests.

#![recursion_limit = "256"]

pub mod checkpoint;
mod error;
pub mod hub;
mod load;
mod load_options;
mod param_path;
mod parameters;
mod report;
mod save;
#[cfg(feature = "burn-store")]
mod snapshots;
pub mod testing;
mod weight_layout;
mod weight_type;
mod writer;

pub use checkpoint::{Checkpoint, TensorEntry, read_plain_pickle};
pub use error::{Error, LoadError, Result};
pub use hub::local_path;
pub use load::{check_module, load_module, renamed_tensors};
pub use load_options::LoadOptions;
pub use parameters::{Parameter, parameters};
pub use report::{LoadReport, ShapeMismatch, TypeMismatch, Unexpected};
pub use save::{SaveOptions, output_tensors, save_module};
pub use weight_layout::as_loaded;
pub use weight_type::WeightType;
pub use writer::{OutputTensor, write_checkpoint};
