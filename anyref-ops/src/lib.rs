//! Tensor operations, fused kernels for CPU and GPU, and layers, shared by the AnyRef crates.
//!
//! * Functions of this module are parameter-free and differentiable. Each has a composed form for
//!   every backend and fused forms for some.
//! * [`nn`]: layers whose PyTorch counterparts have parameters (`Linear`, `LayerNorm`, `RmsNorm`,
//!   `LayerNorm2d`). The weight of `Linear` is dense or in quantised blocks.
//! * [`dispatch`]: kinds of backend, by which operations choose their form.
//! * [`testing`]: seeded modules and comparisons for tests.
//!
//! The processor's kernels run on the widest instructions of the machine. The environment variable
//! `ANYREF_SIMD=portable|avx2|avxvnni|avx512|avx512vnni` holds them to narrower ones, for tests and
//! diagnosis. In WebAssembly they run on its vectors, if the module is compiled with
//! `-C target-feature=+simd128`.

#![recursion_limit = "256"]

mod activation;
mod attention;
pub mod blocks;
mod cached_rows;
mod cells;
#[cfg(feature = "cube")]
mod cube;
mod device_failure;
pub mod dispatch;
mod doubling;
#[cfg(feature = "flex")]
mod flex;
mod linear;
mod matmul;
mod max_pool;
pub mod nn;
mod norm;
mod permute;
mod pointwise;
mod pool;
mod rotary;
mod rows;
mod shared;
mod sinusoids;
pub mod testing;
mod token_losses;
mod upscaling;
mod windows;
mod words;

pub use activation::{gelu, quick_gelu, silu, swiglu};
pub use attention::{
    AttentionInput, CachedAttention, RelativePosition, attention, cached_attention,
    relative_positions, shared_attention,
};
pub use cached_rows::{CacheType, CachedRows, Q8_0Rows};
pub use cells::{cell_sum, cells, joined_rows, map_of_cells, picture_order, pixel_products};
#[cfg(feature = "cube")]
pub use cube::{GpuBackendVisitor, visit_gpu_backends};
pub use device_failure::{DeviceFailure, DeviceWatch};
pub use dispatch::on_processor;
#[cfg(feature = "flex")]
pub use flex::slices;
pub use linear::{StoredWeights, as_stored, linear, linear_gelu, stored_weights};
pub use matmul::{ALIGNMENT, matmul, matmul_transposed, short_columns};
pub use max_pool::max_pool_2x2;
pub use norm::{
    add_layer_norm, add_rms_norm, layer_norm, layer_norm_gelu, placed_layer_norm, rms_norm,
};
pub use permute::{permute, permuted_sum};
pub use pointwise::pointwise;
pub use pool::{each_within_pool, within_pool};
pub use rotary::{Angles, CacheRoom, rotary, rotary_each, rotary_into_cache};
pub use rows::{CacheCapacity, append_row, assign_rows};
pub use shared::{add, add_shared};
pub use sinusoids::{grid_sinusoids, point_sinusoids, sinusoids};
pub use token_losses::token_losses;
pub use upscaling::Upscaling;
pub use windows::Windows;

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
