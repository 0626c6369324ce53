//! Operations on weights in blocks as functions over tensors, by backend.

use core::ops::Range;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Int, Tensor};

use super::operation::{block_range, block_rows};
use super::product::product;
use super::tracked::{constant_range, constant_rows, tracked_product};
use crate::blocks::PlaneLayout;
use crate::cube::backend::KernelBackend;
use crate::dispatch::Forms;

type Product<B> = fn(Tensor<B, 2>, Tensor<B, 2, Int>, PlaneLayout) -> Tensor<B, 2>;
type RangeOf<B> = fn(Tensor<B, 2, Int>, PlaneLayout, Range<usize>, DType) -> Tensor<B, 2>;
type RowsOf<B> = fn(Tensor<B, 2, Int>, Tensor<B, 1, Int>, PlaneLayout, DType) -> Tensor<B, 2>;

/// Operations of a backend on weights in planes, `[rows, words of a row]`.
pub(crate) struct BlockForms<B: Backend> {
    /// `x · weightᵀ`, `[n, rows]` of `[n, columns]`, in the type of `x`.
    pub(crate) product: Product<B>,
    /// Values of a range of rows, `[range.len(), columns]`.
    pub(crate) range: RangeOf<B>,
    /// Values of the rows of some indices, `[indices, columns]`.
    pub(crate) rows: RowsOf<B>,
}

impl<B: Backend> Clone for BlockForms<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for BlockForms<B> {}

/// Adds the operations of a backend and of `Autodiff` over it.
pub(super) fn add_with_autodiff<B: KernelBackend>(forms: &mut Forms) {
    forms.insert::<B, BlockForms<B>>(BlockForms {
        product: product::<B>,
        range: block_range::<B>,
        rows: block_rows::<B>,
    });
    add_tracked::<B, NoCheckpointing>(forms);
    add_tracked::<B, BalancedCheckpointing>(forms);
}

fn add_tracked<B: KernelBackend, C: CheckpointStrategy>(forms: &mut Forms) {
    forms.insert::<Autodiff<B, C>, BlockForms<Autodiff<B, C>>>(BlockForms {
        product: tracked_product::<B, C>,
        range: constant_range::<B, C>,
        rows: constant_rows::<B, C>,
    });
}
