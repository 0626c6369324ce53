//! Products as tensors.

use burn::tensor::{Tensor, backend::Backend};

use crate::cube::backend::{Input, floats};
use crate::cube::gemv::{Gemv, GemvForm};
use crate::cube::operation::exactly;
use crate::cube::registry::kernels;
use crate::cube::short_columns::ShortColumns;

/// Weight and bias of a product.
#[derive(Debug, Clone)]
pub(crate) struct DenseProduct<B: Backend> {
    /// `[inputs, outputs]`
    pub(crate) weight: Tensor<B, 2>,
    /// `[outputs]`
    pub(crate) bias: Option<Tensor<B, 1>>,
}

/// Computes several products of a few rows at once; `None` without kernels, for more rows, and if
/// only some of the weights have biases.
fn products<B: Backend>(
    form: GemvForm,
    x: Tensor<B, 2>,
    products: &[DenseProduct<B>],
    clipped: bool,
) -> Option<Vec<Tensor<B, 2>>> {
    let kernels = kernels::<B>()?;
    let [first, others @ ..] = products else {
        return None;
    };
    let biased = first.bias.is_some();
    let alike = |product: &DenseProduct<B>| {
        product.bias.is_some() == biased && product.weight.dtype() == first.weight.dtype()
    };
    if !(1..=Gemv::ROWS).contains(&x.dims()[0]) || !others.iter().all(alike) {
        return None;
    }
    let dtype = x.dtype();
    let weights = products.iter().map(|product| product.weight.clone());
    let weights = weights.map(Input::from);
    let biases = products.iter().filter_map(|product| product.bias.clone());
    let biases = biases.map(|bias| bias.cast(dtype).into());
    let inputs = core::iter::once(x.into()).chain(weights).chain(biases);
    let gemv = Gemv {
        form,
        biased,
        clipped,
    };
    let outputs = (kernels.gemv)(gemv, inputs.collect());
    Some(outputs.into_iter().map(floats::<B, 2>).collect())
}

/// Computes the product of a few rows in one launch; `None` without kernels and for more rows.
///
/// # Shapes
/// - x: `[n, inputs]`
/// - output: `[n, outputs]`, in the type of `x`
pub(crate) fn one_product<B: Backend>(
    x: &Tensor<B, 2>,
    product: DenseProduct<B>,
) -> Option<Tensor<B, 2>> {
    let [output] = exactly(products(GemvForm::One, x.clone(), &[product], false)?);
    Some(output)
}

/// Computes `relu` of a [product](one_product) in the same launch.
///
/// # Shapes
/// - x: `[n, inputs]`
/// - output: `[n, outputs]`, in the type of `x`
pub(crate) fn clipped_product<B: Backend>(
    x: &Tensor<B, 2>,
    product: DenseProduct<B>,
) -> Option<Tensor<B, 2>> {
    let [output] = exactly(products(GemvForm::One, x.clone(), &[product], true)?);
    Some(output)
}

/// Computes three products of a few rows in one launch; `None` without kernels, for more rows, and
/// if weights differ in type or some have no bias.
///
/// # Shapes
/// - x: `[n, inputs]`
/// - outputs: `[n, outputs]` of each weight
pub(crate) fn three_products<B: Backend>(
    x: &Tensor<B, 2>,
    three: &[DenseProduct<B>; 3],
) -> Option<[Tensor<B, 2>; 3]> {
    products(GemvForm::Three, x.clone(), three, false).map(exactly)
}

/// Computes `silu(x · gate) · (x · up)` of a few rows in one launch; `None` where
/// [`three_products`] gives it, and if the weights differ in shape.
///
/// # Shapes
/// - x: `[n, inputs]`
/// - output: `[n, outputs]`
pub(crate) fn gated_product<B: Backend>(
    x: &Tensor<B, 2>,
    gate_and_up: &[DenseProduct<B>; 2],
) -> Option<Tensor<B, 2>> {
    let [gate, up] = gate_and_up;
    if gate.weight.dims() != up.weight.dims() {
        return None;
    }
    let [output] = exactly(products(GemvForm::Gated, x.clone(), gate_and_up, false)?);
    Some(output)
}

/// Computes `x · columnsᵀ` of a few rows and short columns in one launch, in the order of the
/// columns or of a picture of some cells across. Gives `None` without kernels, for other shapes,
/// and if the types differ.
///
/// # Shapes
/// - x: `[batch, n, d]`
/// - columns: `[batch, count, d]`
/// - output: `[batch, n, count]`
pub(crate) fn short_columns<B: Backend>(
    x: &Tensor<B, 3>,
    columns: &Tensor<B, 3>,
    cells_across: Option<usize>,
) -> Option<Tensor<B, 3>> {
    let kernels = kernels::<B>()?;
    if !ShortColumns::suits(x.dims(), columns.dims()) || x.dtype() != columns.dtype() {
        return None;
    }
    let inputs = [x, columns].map(|x| x.clone().into());
    let short_columns = ShortColumns { cells_across };
    let [output] = exactly((kernels.short_columns)(short_columns, inputs.into()));
    Some(floats::<B, 3>(output))
}
