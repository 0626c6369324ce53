//! Tensor operations, fused CPU kernels and layers that the AnyRef parts share.
//!
//! * The functions of this module are parameter-free and differentiable. Each has a composed form
//!   for every backend and a fused form where a backend has one.
//! * [`nn`]: layers whose PyTorch counterparts have parameters (`LayerNorm`, `RmsNorm`,
//!   `LayerNorm2d`).
//! * [`testing`]: seeded modules and comparisons for tests.

#![recursion_limit = "256"]

mod activation;
mod attention;
mod device_failure;
pub mod dispatch;
#[cfg(feature = "flex")]
mod flex;
mod folded_attention;
mod linear;
mod matmul;
pub mod nn;
mod norm;
mod permute;
mod rotary;
mod rows;
mod shared;
pub mod testing;

pub use activation::{gelu, quick_gelu, silu, swiglu};
pub use attention::{AttentionInput, RelativePosition, attention};
pub use device_failure::{DeviceFailure, DeviceWatch};
pub use dispatch::on_processor;
#[cfg(feature = "flex")]
pub use flex::slices;
pub use linear::{StoredWeights, as_stored, linear, stored_weights};
pub use matmul::{ALIGNMENT, matmul, matmul_transposed};
pub use norm::{layer_norm, rms_norm};
pub use permute::permute;
pub use rotary::{Angles, rotary};
pub use rows::{Room, assign_rows, room};
pub use shared::add_shared;
