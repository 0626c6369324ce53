//! Blocks of quantised values in GGML's formats, as GGUF files hold them.
//!
//! * [`BlockType`]: the formats with their sizes.
//! * [`dequantize`], [`quantize`]: blocks to floats and back.
//! * [`Blocks`]: a matrix of them, [`BlockRows`]: one whose rows are fetched while they are used.

mod block_type;
mod dequantize;
mod error;
mod k_lines;
mod k_scales;
mod matrix;
#[cfg(any(feature = "cube", test))]
mod planes;
mod quantize;
#[cfg(all(test, any(feature = "cube", feature = "flex")))]
pub(crate) mod random;
mod rows;

pub use block_type::BlockType;
pub use dequantize::dequantize;
pub use error::BlockError;
#[cfg(feature = "flex")]
pub(crate) use k_scales::{pack_k_scales, unpack_k_scales};
pub use matrix::Blocks;
#[cfg(feature = "cube")]
pub(crate) use planes::{PIECE, PlaneLayout, pack_planes, unpack_planes};
pub use quantize::quantize;
#[cfg(feature = "flex")]
pub(crate) use rows::PART;
pub use rows::{BlockRows, ReorderedRows};
