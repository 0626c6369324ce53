//! Outputs that are computed again in the backward pass.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};

use crate::cube::calls::NormParameters;
use crate::cube::gradients::{add_norm, norm, swiglu};
use crate::cube::tests::{assert_near, numbers, tensor};

/// Gradients of an MLP with norms before it and after it, `[rows, scales, weight]`.
fn gradients<B: Backend, C: CheckpointStrategy>() -> Vec<Vec<f64>> {
    type On<B, C> = Autodiff<B, C>;
    let (rows, width) = (5, 12);
    let leaf = |count: usize, seed| -> Vec<f64> { numbers(count, seed) };
    let matrix = |height: usize, seed| {
        let values = leaf(height * width, seed);
        let values = tensor::<B, 2>(&values, [height, width], DType::F32);
        Tensor::<On<B, C>, 2>::from_inner(values).require_grad()
    };
    let vector = |seed| {
        let values = tensor::<B, 1>(&leaf(width, seed), [width], DType::F32);
        Tensor::<On<B, C>, 1>::from_inner(values).require_grad()
    };
    let (x, gate, up, down) = (
        matrix(rows, 1),
        matrix(width, 2),
        matrix(width, 3),
        matrix(width, 4),
    );
    let first = NormParameters {
        gamma: vector(5),
        beta: None,
        epsilon: 1e-5,
    };
    let second = NormParameters {
        gamma: vector(6),
        beta: Some(vector(7)),
        epsilon: 1e-5,
    };
    let normed = norm(&x, &first).expect("a kernel");
    let gates = normed.clone().matmul(gate.clone());
    let ups = normed.matmul(up.clone());
    let mixed = swiglu(&gates, &ups).expect("a kernel").matmul(down.clone());
    let [sum, normed] = add_norm(&x, &mixed, &second).expect("a kernel");
    let loss = (normed.clone() * normed * sum.clone()).sum() + sum.sum();
    let grads = loss.backward();
    let values = |data: burn::tensor::TensorData| data.iter::<f64>().collect::<Vec<f64>>();
    let matrices = [x, gate, up, down];
    let matrices = matrices.map(|x| values(x.grad(&grads).expect("a gradient").into_data()));
    let vectors = [Some(first.gamma), Some(second.gamma), second.beta];
    let vectors = vectors.into_iter().flatten();
    let vectors = vectors.map(|x| values(x.grad(&grads).expect("a gradient").into_data()));
    matrices.into_iter().chain(vectors).collect()
}

/// With burn's balanced checkpointing and without.
pub(super) fn recomputed_outputs_have_equal_gradients<B: Backend>() {
    let kept = gradients::<B, NoCheckpointing>();
    let again = gradients::<B, BalancedCheckpointing>();
    assert_eq!(kept.len(), 7);
    for (index, (kept, again)) in kept.iter().zip(&again).enumerate() {
        assert!(kept.iter().any(|x| x.abs() > 1e-3), "{index}");
        let again = tensor::<B, 1>(again, [again.len()], DType::F32);
        assert_near(&format!("{index}"), again, kept, 1e-4);
    }
}
