//! Parameter-free tensor operations.
//!
//! Each function runs on any backend through a composed form, and is differentiable.

mod activation;
mod attention;
#[cfg(feature = "flex")]
mod flex;
mod linear;
mod matmul;
mod norm;
mod permute;
mod rotary;
mod rows;
mod shared;

pub use activation::{gelu, quick_gelu, silu, swiglu};
pub use attention::{AttentionInput, RelativePosition, attention};
#[cfg(feature = "flex")]
pub use flex::slices;
pub use linear::{linear, takes_weights_as_stored};
pub use matmul::matmul;
pub use norm::{layer_norm, rms_norm};
pub use permute::permute;
pub use rotary::{Angles, rotary};
pub use rows::{assign_rows, assigns_rows_in_place};
pub use shared::add_shared;
