//! Dense weights of several layers, multiplied together on a GPU.

use burn::tensor::{Tensor, backend::Backend};

use crate::cube::{self, DenseProduct};

/// Shape of rows, and the shape `[n, d]` of all of them.
fn flat<const D: usize>(shape: [usize; D]) -> [usize; 2] {
    [shape[..D - 1].iter().product(), shape[D - 1]]
}

/// Gives rows of outputs the shape of the input.
fn shaped<B: Backend, const D: usize>(output: Tensor<B, 2>, mut shape: [usize; D]) -> Tensor<B, D> {
    shape[D - 1] = output.dims()[1];
    output.reshape(shape)
}

/// Computes `relu(x · weight + bias)` in one launch; `None` where that cannot be.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - output: `[.., d_output]`
pub(super) fn clipped<B: Backend, const D: usize>(
    product: DenseProduct<B>,
    x: &Tensor<B, D>,
) -> Option<Tensor<B, D>> {
    let shape = x.dims();
    let output = cube::clipped_product(&x.clone().reshape(flat(shape)), product)?;
    Some(shaped(output, shape))
}

/// Computes the outputs of three layers in one launch; `None` where that cannot be.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - products: weights and biases, `None` for weights in blocks
/// - outputs: `[.., d_output]` of each layer
pub(super) fn each<B: Backend, const D: usize, const N: usize>(
    products: [Option<DenseProduct<B>>; N],
    x: &Tensor<B, D>,
) -> Option<[Tensor<B, D>; N]> {
    let products: Option<Vec<_>> = products.into_iter().collect();
    let products: [_; 3] = products?.try_into().ok()?;
    let shape = x.dims();
    let outputs = cube::three_products(&x.clone().reshape(flat(shape)), &products)?;
    let outputs = outputs.map(|output| shaped(output, shape));
    outputs.to_vec().try_into().ok()
}

/// Computes `silu(x · gate) · (x · up)` in one launch; `None` where that cannot be.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - output: `[.., d_output]`
pub(super) fn gated<B: Backend, const D: usize>(
    gate: DenseProduct<B>,
    up: DenseProduct<B>,
    x: &Tensor<B, D>,
) -> Option<Tensor<B, D>> {
    let shape = x.dims();
    let products = [gate, up];
    let output = cube::gated_product(&x.clone().reshape(flat(shape)), &products)?;
    Some(shaped(output, shape))
}
