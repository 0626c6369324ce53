//! Fused forms on the CPU backend `Flex`, with and without autodiff.
//!
//! Operations are generic over the backend; [`dispatch`](crate::dispatch) identifies it. Each
//! function here returns its arguments unchanged when it has no fused form for them (another
//! backend, a type other than f32), and the caller continues with the composed form.

mod activation;
mod append_row;
mod attention;
mod blocks;
mod buffer;
mod cached_rows;
mod contiguous;
mod instruction_set;
mod int8;
mod linear;
mod math;
mod max_pool;
mod norm;
mod norm_sum;
mod pack;
mod permute;
mod product;
mod rotary;
mod rows;
mod shared;
mod short_columns;
mod simd;
mod sinusoids;
pub mod slices;
mod swiglu;
#[cfg(test)]
mod tests;
mod upscaling;
mod windows;

pub(crate) use activation::{Activation, activation};
pub(crate) use append_row::append_row;
pub(crate) use attention::{attention, cached_attention, relative_positions};
pub(crate) use blocks::{BlockInput, Panels, block_products, tracked_block_product};
pub(crate) use cached_rows::{dequantize_rows, quantize_rows};
pub(crate) use int8::{Int8Input, Int8Matrix, int8_products};
pub(crate) use linear::{
    LinearInput, RowProduct, RowProductsInput, has_row_products, linear, row_products,
};
pub(crate) use max_pool::max_pool_2x2;
pub(crate) use norm::{LayerNormParameters, NormInput, norm};
pub(crate) use norm_sum::{NormSum, Normed, norm_sum};
pub(crate) use permute::{permute, permuted_sum};
pub(crate) use rotary::rotary;
pub(crate) use rows::{assign_rows, assign_words};
pub(crate) use shared::{add, add_shared};
pub(crate) use short_columns::short_columns;
pub(crate) use simd::{Kernel, Simd, dispatch};
pub(crate) use sinusoids::sinusoids;
pub(crate) use swiglu::swiglu;
pub(crate) use upscaling::{UpscalingInput, upscaled_masks};
pub(crate) use windows::{merge_windows, partition_windows};
