//! Inputs of any rank as the rows of a product.

use burn::tensor::{Tensor, backend::Backend};

/// Calls `products` with `x` as rows, and gives its outputs, or the input that it returns, the
/// leading dimensions of `x` again.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - input and outputs of `products`: `[rows, d_input]`, `[rows, d_output]` each
/// - outputs: `[.., d_output]` each
#[allow(clippy::type_complexity)]
pub(super) fn as_rows<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    products: impl FnOnce(Tensor<B, 2>) -> Result<Vec<Tensor<B, 2>>, Tensor<B, 2>>,
) -> Result<Vec<Tensor<B, D>>, Tensor<B, D>> {
    let shape = x.dims();
    let rows = shape[..D - 1].iter().product::<usize>();
    match products(x.reshape([rows, shape[D - 1]])) {
        Ok(products) => Ok(products
            .into_iter()
            .map(|product| {
                let mut shape = shape;
                shape[D - 1] = product.dims()[1];
                product.reshape(shape)
            })
            .collect()),
        Err(x) => Err(x.reshape(shape)),
    }
}
