//! Tensors of a graph that have no gradient, such as those of frozen encoders.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};

use crate::cube::backend::KernelBackend;
use crate::cube::calls;

/// Returns whether a tensor has a gradient.
pub(super) fn is_tracked<B: Backend, C: CheckpointStrategy, const D: usize>(
    tensor: &Tensor<Autodiff<B, C>, D>,
) -> bool {
    tensor.clone().into_primitive().tensor().is_tracked()
}

/// The tensor without a graph.
pub(super) fn untracked<B: Backend, C: CheckpointStrategy, const D: usize>(
    tensor: &Tensor<Autodiff<B, C>, D>,
) -> Tensor<B, D> {
    let primitive = tensor.clone().into_primitive().tensor().primitive;
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// [`calls::position_products`] of queries and tables without gradients.
pub(super) fn position_products<B: KernelBackend, C: CheckpointStrategy>(
    query: &Tensor<Autodiff<B, C>, 4>,
    tables: [&Tensor<Autodiff<B, C>, 2>; 2],
    grid: [usize; 2],
) -> Option<[Tensor<Autodiff<B, C>, 4>; 2]> {
    if is_tracked(query) || tables.iter().any(|table| is_tracked(table)) {
        return None;
    }
    let [rows, columns] = tables.map(untracked);
    let products = calls::position_products(&untracked(query), [&rows, &columns], grid)?;
    Some(products.map(Tensor::from_inner))
}
