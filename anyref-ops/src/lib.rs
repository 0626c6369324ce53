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
#[cfg(feature = "flex")]
pub use flex::slices;
pub use linear::{StoredWeights, as_stored, linear, stored_weights};
pub use matmul::{ALIGNMENT, matmul, matmul_transposed};
pub use norm::{layer_norm, rms_norm};
pub use permute::permute;
pub use rotary::{Angles, rotary};
pub use rows::{Room, assign_rows, room};
pub use shared::add_shared;

use burn::tensor::backend::Backend;

/// Whether `B` is the processor's backend, with or without autodiff, which has fused forms of its own.
pub fn on_processor<B: Backend>() -> bool {
    #[cfg(feature = "flex")]
    if flex::route::<B>().is_some() {
        return true;
    }
    false
}

/// Whether `B` is a GPU's backend without autodiff, on which buffers may be reordered and written in place.
pub(crate) fn on_gpu_without_gradients<B: Backend>(device: &B::Device) -> bool {
    !on_processor::<B>() && !B::ad_enabled(device)
}
