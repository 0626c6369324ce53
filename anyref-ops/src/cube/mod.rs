//! Kernels for GPUs: products and rows of weights in blocks, and operations that burn composes of
//! several launches.
//!
//! A [`KernelOperation`](operation::KernelOperation) is a kernel with its settings.
//! [`KernelBackend`](backend::KernelBackend) runs it on `CubeBackend`
//! without fusion and, as an operation in its stream, with it; [`calls`] finds it by the type of
//! a generic backend.
//!
//! * [`blocks`]: weights stay in the device's memory as planes of words, with `Autodiff` over any
//!   of these backends too.
//! * [`norm`]: a normalisation in one launch, with the residual sum before it.
//! * [`placed_norm`]: a layer norm of a sum and the positions added to it in one launch.
//! * [`rotary`]: queries and keys rotated in one launch, with [`rotary_append`] into a cache.
//! * [`swiglu`]: the gated activation of an MLP.
//! * [`gemv`]: products of a few rows and several weights in one launch.
//! * [`short_columns`]: a batch of products of a few rows and many short columns in one launch.
//! * [`row_products`]: products of rows and several weights in one launch, with a norm and
//!   positions before them.
//! * [`joined_rows`], [`cell_sum`], [`grid_sinusoids`]: rows for such products, out of tensors one
//!   behind another, of two maps, and of the positions of a grid's cells.
//! * [`few_queries`], [`few_keys`]: attention of a few queries, or to a few keys, in one launch.
//! * [`many_queries`]: attention of many in one launch, and relative positions in another; its
//!   gradients in two.
//! * [`norm_gradient`]: gradients of normalisations.
//! * [`token_losses`]: cross-entropies of rows of logits, and their gradient.
//! * [`gradients`]: operations of a graph for `Autodiff` over any of these backends, made of these
//!   kernels.

mod backend;
mod blocks;
mod calls;
mod cell_sum;
mod few_keys;
mod few_queries;
mod fusion;
mod gemv;
mod gpu_backends;
mod gradients;
mod grid_sinusoids;
mod joined_rows;
mod launching;
mod many_queries;
mod masks;
mod norm;
mod norm_gradient;
mod operation;
mod placed_norm;
mod reading;
mod reduce;
mod registry;
mod rotary;
mod rotary_append;
mod row_products;
mod short_columns;
mod swiglu;
#[cfg(all(test, any(feature = "wgpu", feature = "vulkan", feature = "cuda")))]
mod tests;
mod token_losses;

pub(crate) use blocks::{BlockForms, block_forms};
pub(crate) use calls::{
    Appending, DenseProduct, KernelAttention, KernelRows, MOST_PRODUCTS, NormParameters, cell_sum,
    clipped_product, gated_product, grid_sinusoids, joined_rows, one_product, placed_norm,
    rotate_and_append, row_products, short_columns, three_products,
};
pub use gpu_backends::{GpuBackendVisitor, visit_gpu_backends};
pub(crate) use gradients::{
    add_norm, attend, norm, position_products, rotate, swiglu, token_losses,
};
pub(crate) use rotary_append::RotaryAppend;
pub(crate) use row_products::{Activation, Form, Part};
