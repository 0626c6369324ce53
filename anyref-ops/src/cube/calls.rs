//! Kernels called with tensors, where the backend has them.

use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Tensor};

use super::backend::{Input, floats};
use super::few_keys::FewKeys;
use super::few_queries::FewQueries;
use super::gemv::{Gemv, GemvForm};
use super::many_queries::{ManyQueries, PositionProducts};
use super::norm::Norm;
use super::operation::exactly;
use super::placed_norm::PlacedNorm;
use super::registry::kernels;
use super::rotary::Rotary;
use super::rotary_append::RotaryAppend;
use super::short_columns::ShortColumns;
use super::swiglu::SwiGlu;

/// Parameters of a normalisation.
#[derive(Debug, Clone)]
pub(crate) struct NormParameters<B: Backend> {
    /// `[d]`
    pub(crate) gamma: Tensor<B, 1>,
    /// `[d]`; a layer norm has one.
    pub(crate) beta: Option<Tensor<B, 1>>,
    pub(crate) epsilon: f64,
}

impl<B: Backend> NormParameters<B> {
    fn kernel(&self, added: bool) -> Norm {
        Norm {
            centred: self.beta.is_some(),
            added,
            shifted: self.beta.is_some(),
            epsilon: self.epsilon,
        }
    }

    /// Inputs after the rows, in their type.
    fn inputs(&self, like: &Tensor<B, 2>) -> impl Iterator<Item = Input<B>> {
        let dtype = like.dtype();
        let parameters = [Some(self.gamma.clone()), self.beta.clone()];
        let parameters = parameters.into_iter().flatten();
        parameters.map(move |parameter| parameter.cast(dtype).into())
    }
}

fn rows<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, 2> {
    let width = x.dims()[D - 1];
    let count = x.dims()[..D - 1].iter().product::<usize>();
    x.reshape([count, width])
}

/// Layer norm if there is a shift, otherwise an RMS norm; `None` without kernels.
///
/// # Shapes
/// - x and output: `[.., d]`
pub(crate) fn norm<B: Backend, const D: usize>(
    x: &Tensor<B, D>,
    parameters: &NormParameters<B>,
) -> Option<Tensor<B, D>> {
    let kernels = kernels::<B>()?;
    let shape = x.dims();
    let x = rows(x.clone());
    let inputs: Vec<_> = parameters.inputs(&x).collect();
    let inputs = core::iter::once(x.into()).chain(inputs);
    let [output] = exactly((kernels.norm)(parameters.kernel(false), inputs.collect()));
    Some(floats::<B, 2>(output).reshape(shape))
}

/// Sum of two tensors, and its [`norm`]; `None` without kernels.
///
/// # Shapes
/// - x, added and outputs: `[.., d]`
pub(crate) fn add_norm<B: Backend, const D: usize>(
    x: &Tensor<B, D>,
    added: &Tensor<B, D>,
    parameters: &NormParameters<B>,
) -> Option<[Tensor<B, D>; 2]> {
    let kernels = kernels::<B>()?;
    if x.dims() != added.dims() || x.dtype() != added.dtype() {
        return None;
    }
    let shape = x.dims();
    let (x, added) = (rows(x.clone()), rows(added.clone()));
    let inputs: Vec<_> = parameters.inputs(&x).collect();
    let inputs = [x.into(), added.into()].into_iter().chain(inputs);
    let outputs = (kernels.norm)(parameters.kernel(true), inputs.collect());
    Some(exactly::<_, 2>(outputs).map(|output| floats::<B, 2>(output).reshape(shape)))
}

/// Layer norm of a tensor or of the sum of two, and its sum with `places`; `None` without kernels
/// and for other shapes.
///
/// # Shapes
/// - x, added and outputs: `[batch, length, d]`
/// - places: `[batch or 1, length, d]`
pub(crate) fn placed_norm<B: Backend>(
    x: &Tensor<B, 3>,
    added: Option<&Tensor<B, 3>>,
    places: &Tensor<B, 3>,
    parameters: &NormParameters<B>,
) -> Option<[Tensor<B, 3>; 2]> {
    let kernels = kernels::<B>()?;
    let (shape, dtype) = (x.dims(), x.dtype());
    let alike = |y: &Tensor<B, 3>| y.dims() == shape && y.dtype() == dtype;
    let [batch, length, width] = shape;
    let repeats = [[1, length, width], [batch, length, width]].contains(&places.dims());
    if !added.is_none_or(alike) || !repeats || places.dtype() != dtype {
        return None;
    }
    let norm = PlacedNorm {
        added: added.is_some(),
        epsilon: parameters.epsilon,
    };
    let x = rows(x.clone());
    let parameters: Vec<_> = parameters.inputs(&x).collect();
    let inputs = core::iter::once(x.into());
    let inputs = inputs.chain(added.map(|added| rows(added.clone()).into()));
    let inputs = inputs.chain(parameters);
    let inputs = inputs.chain([rows(places.clone()).into()]);
    let outputs = (kernels.placed_norm)(norm, inputs.collect());
    Some(exactly::<_, 2>(outputs).map(|output| floats::<B, 2>(output).reshape(shape)))
}

/// Rotates queries and keys; `None` without kernels.
///
/// # Shapes
/// - query and key: `[batch, heads, length, head_dim]`
/// - cos and sin: `[batch or 1, 1, length, head_dim / 2]`
pub(crate) fn rotate<B: Backend>(
    [query, key]: [&Tensor<B, 4>; 2],
    [cos, sin]: [&Tensor<B, 4>; 2],
) -> Option<[Tensor<B, 4>; 2]> {
    let kernels = kernels::<B>()?;
    let dtype = query.dtype();
    if [key, cos, sin].iter().any(|x| x.dtype() != dtype) {
        return None;
    }
    let inputs = [query, key, cos, sin].map(|x| x.clone().into());
    let outputs = (kernels.rotary)(Rotary, inputs.into());
    Some(exactly::<_, 2>(outputs).map(floats::<B, 4>))
}

/// Queries, keys and values of some positions, and the cached keys and values to which they are
/// appended.
#[derive(Debug, Clone)]
pub(crate) struct Appending<B: Backend> {
    /// Queries, keys and values, `[batch, heads or kv_heads, length, head_dim]`.
    pub(crate) projected: [Tensor<B, 4>; 3],
    /// Keys and values, `[batch, kv_heads, capacity, head_dim]`.
    pub(crate) cached: [Tensor<B, 4>; 2],
}

/// Rotates queries and keys, and writes keys and values to the cache from position `first` on.
/// Gives the arguments back without kernels and for tensors that they do not take.
///
/// # Shapes
/// - cos and sin: `[batch or 1, 1, length, head_dim / 2]`
/// - outputs: the rotated queries and the cached keys and values
pub(crate) fn rotate_and_append<B: Backend>(
    input: Appending<B>,
    [cos, sin]: [&Tensor<B, 4>; 2],
    first: usize,
) -> Result<[Tensor<B, 4>; 3], Appending<B>> {
    let Some(kernels) = kernels::<B>() else {
        return Err(input);
    };
    let [query, key, value] = &input.projected;
    let [keys, values] = &input.cached;
    let dtype = query.dtype();
    let [batch, heads, length, width] = key.dims();
    let cached = [batch, heads, keys.dims()[2], width];
    let taken = [key, value, cos, sin].iter().all(|x| x.dtype() == dtype)
        && keys.dtype() == values.dtype()
        && value.dims() == key.dims()
        && width.is_multiple_of(2)
        && [keys, values].iter().all(|x| x.dims() == cached)
        && first + length <= keys.dims()[2];
    if !taken {
        return Err(input);
    }
    let angles = [cos.clone(), sin.clone()];
    let inputs = input
        .projected
        .into_iter()
        .chain(angles)
        .chain(input.cached);
    let inputs = inputs.map(Input::from).collect();
    let outputs = (kernels.rotary_append)(RotaryAppend { first }, inputs);
    Ok(exactly::<_, 3>(outputs).map(floats::<B, 4>))
}

/// Computes `silu(gate) · up`; `None` without kernels.
///
/// # Shapes
/// - gate, up and output: the same
pub(crate) fn swiglu<B: Backend, const D: usize>(
    gate: &Tensor<B, D>,
    up: &Tensor<B, D>,
) -> Option<Tensor<B, D>> {
    let kernels = kernels::<B>()?;
    if gate.dims() != up.dims() || gate.dtype() != up.dtype() {
        return None;
    }
    let inputs = [gate, up].map(|x| x.clone().into());
    let [output] = exactly((kernels.swiglu)(SwiGlu, inputs.into()));
    Some(floats::<B, D>(output))
}

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

/// Computes `x · columnsᵀ` of a few rows and short columns in one launch; `None` without kernels,
/// for other shapes, and if the types differ.
///
/// # Shapes
/// - x: `[batch, n, d]`
/// - columns: `[batch, count, d]`
/// - output: `[batch, n, count]`
pub(crate) fn short_columns<B: Backend>(
    x: &Tensor<B, 3>,
    columns: &Tensor<B, 3>,
) -> Option<Tensor<B, 3>> {
    let kernels = kernels::<B>()?;
    if !ShortColumns::suits(x.dims(), columns.dims()) || x.dtype() != columns.dtype() {
        return None;
    }
    let inputs = [x, columns].map(|x| x.clone().into());
    let [output] = exactly((kernels.short_columns)(ShortColumns, inputs.into()));
    Some(floats::<B, 3>(output))
}

/// Arguments of an attention.
#[derive(Debug, Clone)]
pub(crate) struct KernelAttention<'a, B: Backend> {
    /// `[batch, heads, queries, d]`
    pub(crate) query: &'a Tensor<B, 4>,
    /// `[batch, kv_heads, keys, d]`
    pub(crate) key: &'a Tensor<B, 4>,
    /// `[batch, kv_heads, keys, dv]`
    pub(crate) value: &'a Tensor<B, 4>,
    /// Each dimension is 1 or that of `[batch, heads, queries, keys]`.
    pub(crate) mask: Option<&'a Tensor<B, 4, Bool>>,
    /// Relative positions over a grid of keys, `[batch, heads, queries, rows]` and `[batch, heads,
    /// queries, columns]`.
    pub(crate) positions: Option<[&'a Tensor<B, 4>; 2]>,
    pub(crate) causal: bool,
    pub(crate) scale: f64,
}

/// Attention in one launch; `None` without kernels and for shapes that none takes. The output is in
/// memory as rows of tokens, `[batch, queries, heads, dv]`.
///
/// # Shapes
/// - output: `[batch, heads, queries, dv]`, in the type of the queries
pub(crate) fn attend<B: Backend>(input: KernelAttention<'_, B>) -> Option<Tensor<B, 4>> {
    let kernels = kernels::<B>()?;
    let KernelAttention {
        query,
        key,
        value,
        mask,
        positions,
        causal,
        scale,
    } = input;
    if key.dtype() != value.dtype() {
        return None;
    }
    let masked = mask.is_some();
    let tensors = [query, key, value].map(|x| x.clone().into());
    let mask = mask.map(|mask| mask.clone().into());
    let inputs = tensors.into_iter().chain(mask);
    let shapes = (query.dims(), value.dims());
    let plain = positions.is_none();
    let [output] = if plain && FewQueries::suits(shapes.0, shapes.1) {
        let attention = FewQueries {
            scale,
            causal,
            masked,
        };
        exactly((kernels.few_queries)(attention, inputs.collect()))
    } else if plain && !masked && !causal && FewKeys::suits(shapes.0, shapes.1) {
        exactly((kernels.few_keys)(FewKeys { scale }, inputs.collect()))
    } else {
        let grid = positions.map(|positions| positions.map(|x| x.dims()[3]));
        if !ManyQueries::suits(shapes.0, shapes.1, grid) {
            return None;
        }
        let attention = ManyQueries {
            scale,
            causal,
            masked,
            positioned: positions.is_some(),
        };
        let dtype = query.dtype();
        let positions = positions.into_iter().flatten();
        let positions = positions.map(|x| x.clone().cast(dtype).into());
        let inputs = inputs.chain(positions).collect();
        exactly((kernels.many_queries)(attention, inputs))
    };
    Some(floats::<B, 4>(output))
}

/// Products of queries on a grid with the tables of relative positions to the rows and columns of
/// the same grid; `None` without kernels and for other shapes.
///
/// # Shapes
/// - query: `[batch, heads, height · width, d]`
/// - tables: `[2 · height - 1, d]` and `[2 · width - 1, d]`
/// - outputs: `[batch, heads, height · width, height]` and `[batch, heads, height · width, width]`
pub(crate) fn position_products<B: Backend>(
    query: &Tensor<B, 4>,
    tables: [&Tensor<B, 2>; 2],
    [height, width]: [usize; 2],
) -> Option<[Tensor<B, 4>; 2]> {
    let kernels = kernels::<B>()?;
    let grid = Some([height, width]);
    // Keys lie on the grid of the queries.
    if !ManyQueries::suits(query.dims(), query.dims(), grid) {
        return None;
    }
    let dtype = query.dtype();
    let tables = tables
        .into_iter()
        .map(|table| table.clone().cast(dtype).into());
    let inputs = core::iter::once(query.clone().into()).chain(tables);
    let products = PositionProducts { height, width };
    let outputs = (kernels.position_products)(products, inputs.collect());
    Some(exactly::<_, 2>(outputs).map(floats::<B, 4>))
}
