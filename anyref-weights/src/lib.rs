//! Checkpoints of the AnyRef crates: reading, checking and writing weights, and the Hugging Face
//! hub.
//!
//! * [`checkpoint`]: tensors by name from safetensors files, PyTorch files, GGUF files and folders
//!   with shards; [`GgufMetadata`]: metadata of a GGUF file.
//! * [`read_plain_pickle`]: annotations published as pickles, read without executing them.
//! * [`hub`]: resolves `hf://org/name` to a local path, with the feature `hub`. No other function
//!   accesses the network.
//! * [`load_module`] and [`save_module`]: load and save a module, in PyTorch's names and layout.
//!   Loading is strict and returns a [`LoadReport`], which [`check_module`] computes without
//!   loading.
//! * [`weight_memory`]: memory of the weights before they are loaded.
//! * [`write_checkpoint`]: writes tensors from any source to one file or shards, one at a time.
//! * [`write_atomic`] and [`AtomicFile`]: files that are written completely or not at all.
//! * [`protobuf`]: messages in the wire format of protocol buffers.
//! * [`StableHash`]: hash for names and settings on disk.
//! * `Checkpoint::snapshots`: conversion for burn-store's own tools, with the feature `burn-store`,
//!   on by default; crates that do not need it set `default-features = false`.
//! * [`testing`]: fixture files for tests.

#![recursion_limit = "256"]

mod atomic_file;
pub mod checkpoint;
mod error;
pub mod hub;
mod load;
mod load_options;
mod output_tensor;
mod param_path;
mod parameters;
pub mod protobuf;
mod report;
mod rounding;
mod safetensors_dtype;
mod save;
mod save_options;
#[cfg(feature = "burn-store")]
mod snapshots;
mod stable_hash;
pub mod testing;
mod weight_layout;
mod weight_memory;
mod weight_type;
mod writer;

pub use atomic_file::{AtomicFile, sync_folder, write_atomic, write_atomic_unsynced};
pub use checkpoint::{
    Checkpoint, EntryBlocks, EntryFloats, GgufArray, GgufMetadata, GgufValue, TensorEntry,
    read_plain_pickle,
};
pub use error::{Error, Result, one_line};
pub use hub::local_path;
pub use load::{check_module, load_module, renamed_tensors};
pub use load_options::{LoadOptions, Rename};
pub use output_tensor::OutputTensor;
pub use parameters::{Parameter, parameters};
pub use report::{LoadReport, ShapeMismatch, TypeMismatch, Unexpected};
pub use save::{output_tensors, save_module};
pub use save_options::SaveOptions;
pub use stable_hash::StableHash;
pub use weight_layout::{with_matrices_as_mapped, with_stored_layout};
pub use weight_memory::{WeightMemory, weight_memory};
pub use weight_type::WeightType;
pub use writer::write_checkpoint;

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
