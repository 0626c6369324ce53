//! Rows and their products as tensors.

use burn::tensor::{DType, Tensor, backend::Backend};

use super::{DenseProduct, NormParameters};
use crate::cube::backend::{Input, floats};
use crate::cube::cell_sum::CellSum;
use crate::cube::grid_sinusoids::GridSinusoids;
use crate::cube::joined_rows::JoinedRows;
use crate::cube::operation::exactly;
use crate::cube::registry::kernels;
use crate::cube::row_products::{Form, PARTS, RowProducts};

/// Rows that are multiplied, and what is added to the products.
#[derive(Debug, Clone)]
pub(crate) struct KernelRows<'a, B: Backend> {
    /// `[n * group, d]`
    pub(crate) x: &'a Tensor<B, 2>,
    /// Layer norm of the rows.
    pub(crate) norm: Option<&'a NormParameters<B>>,
    /// Positions, `[m, d]`, which repeat every `m` rows.
    pub(crate) places: Option<&'a Tensor<B, 2>>,
    /// Summand of the only product, `[k, outputs]`, which repeats every `k` rows.
    pub(crate) added: Option<&'a Tensor<B, 2>>,
}

/// Computes the products of rows and the weights of a form's parts in one launch. Gives `None`
/// without kernels, for other shapes, if types differ, if only some weights have biases, and for a
/// norm without a shift.
///
/// # Shapes
/// - weights: `[d, outputs]`, or more columns than a part has outputs
/// - outputs: the normalised rows, if the form keeps them, and the products, `[n, outputs]` each or
///   joined
pub(crate) fn row_products<B: Backend>(
    form: Form,
    rows: KernelRows<'_, B>,
    products: Vec<DenseProduct<B>>,
) -> Option<Vec<Tensor<B, 2>>> {
    row_products_within(u32::MAX, form, rows, products)
}

/// Computes [`row_products`] with a limit of the bindings of a launch, besides the device's own.
pub(in crate::cube) fn row_products_within<B: Backend>(
    bindings: u32,
    form: Form,
    rows: KernelRows<'_, B>,
    products: Vec<DenseProduct<B>>,
) -> Option<Vec<Tensor<B, 2>>> {
    let KernelRows {
        x,
        norm,
        places,
        added,
    } = rows;
    let kernels = kernels::<B>()?;
    let first = products.first()?;
    let (dtype, [count, width]) = (x.dtype(), x.dims());
    let biased = first.bias.is_some();
    let alike = |product: &DenseProduct<B>| {
        product.bias.is_some() == biased
            && product.weight.dtype() == first.weight.dtype()
            && product.weight.dims()[0] == width
    };
    let of_type = |x: &Tensor<B, 2>| x.dtype() == dtype && x.dims()[0] > 0;
    let form = Form {
        normed: norm.is_some(),
        placed: places.is_some(),
        added: added.is_some(),
        biased,
        ..form
    };
    let operation = RowProducts {
        form,
        epsilon: norm.map_or(0.0, |norm| norm.epsilon),
        bindings,
    };
    let outputs = form.parts().first().map_or(0, |part| part.outputs);
    let fits = products.len() == form.parts().len()
        && products.iter().all(alike)
        && norm.is_none_or(|norm| norm.beta.is_some())
        && places.is_none_or(|places| of_type(places) && places.dims()[1] == width)
        && added.is_none_or(|added| {
            of_type(added) && added.dims()[1] == outputs && form.parts().len() == 1
        })
        && count.is_multiple_of(form.group)
        && operation.suits(count / form.group, width);
    if !fits {
        return None;
    }
    let norm = norm.into_iter().flat_map(|norm| norm.inputs(x));
    let weights = products.iter().map(|product| product.weight.clone().into());
    let biases = products.iter().filter_map(|product| product.bias.clone());
    let biases = biases.map(|bias| bias.cast(dtype).into());
    let inputs = core::iter::once(Input::from(x.clone())).chain(norm);
    let inputs = inputs.chain(places.map(|places| places.clone().into()));
    let inputs = inputs.chain(weights).chain(biases);
    let inputs = inputs.chain(added.map(|added| added.clone().into()));
    let outputs = (kernels.row_products)(operation, inputs.collect());
    Some(outputs.into_iter().map(floats::<B, 2>).collect())
}

/// Most products that [`row_products`] computes at once.
pub(crate) const MOST_PRODUCTS: usize = PARTS;

/// Concatenates rows for a batch in one launch, repeating a batch of one. Gives `None` without
/// kernels, for more tensors than four, and if types differ.
///
/// # Shapes
/// - tensors: `[batch or 1, rows, d]`
/// - output: `[batch, all rows, d]`
pub(crate) fn joined_rows<B: Backend>(
    tensors: &[Tensor<B, 3>],
    batch: usize,
) -> Option<Tensor<B, 3>> {
    let kernels = kernels::<B>()?;
    let joined = JoinedRows { batch };
    let shapes: Vec<_> = tensors.iter().map(Tensor::dims).collect();
    let dtype = tensors.first()?.dtype();
    if !joined.suits(&shapes) || tensors.iter().any(|tensor| tensor.dtype() != dtype) {
        return None;
    }
    let inputs = tensors.iter().map(|tensor| tensor.clone().into());
    let [output] = exactly((kernels.joined_rows)(joined, inputs.collect()));
    Some(floats::<B, 3>(output))
}

/// Adds two maps, whose cells become rows, in one launch. Gives `None` without kernels, for other
/// shapes, and if types differ.
///
/// # Shapes
/// - maps: `[batch or 1, channels, height, width]`
/// - output: `[batch, height * width, channels]`
pub(crate) fn cell_sum<B: Backend>(x: &Tensor<B, 4>, y: &Tensor<B, 4>) -> Option<Tensor<B, 3>> {
    let kernels = kernels::<B>()?;
    if !CellSum::suits([x.dims(), y.dims()]) || x.dtype() != y.dtype() {
        return None;
    }
    let inputs = [x, y].map(|map| map.clone().into());
    let [output] = exactly((kernels.cell_sum)(CellSum, inputs.into()));
    Some(floats::<B, 3>(output))
}

/// Encodes the centres of a grid's cells by sines and cosines in one launch; `None` without
/// kernels.
///
/// # Shapes
/// - matrix: frequencies of columns and rows in turns, `[2, n]`
/// - output: `[1, height * width, 2 * n]`
pub(crate) fn grid_sinusoids<B: Backend>(
    matrix: &Tensor<B, 2>,
    [height, width]: [usize; 2],
    dtype: DType,
) -> Option<Tensor<B, 3>> {
    let kernels = kernels::<B>()?;
    if matrix.dims()[0] != 2 {
        return None;
    }
    let grid = GridSinusoids {
        height,
        width,
        dtype,
    };
    let inputs = vec![matrix.clone().into()];
    let [output] = exactly((kernels.grid_sinusoids)(grid, inputs));
    Some(floats::<B, 3>(output))
}
