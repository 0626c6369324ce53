//! Kernels called with tensors, where the backend has them.

mod attention;
mod products;
mod rows;

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

use super::backend::{Input, floats};
use super::norm::Norm;
use super::operation::exactly;
use super::placed_norm::PlacedNorm;
use super::registry::kernels;
use super::rotary::Rotary;
use super::rotary_append::RotaryAppend;
use super::swiglu::SwiGlu;
use super::token_losses::TokenLosses;

pub(crate) use attention::{KernelAttention, attend, position_products};
pub(crate) use products::{
    DenseProduct, clipped_product, gated_product, one_product, short_columns, three_products,
};
#[cfg(test)]
pub(super) use rows::row_products_within;
pub(crate) use rows::{
    KernelRows, MOST_PRODUCTS, cell_sum, grid_sinusoids, joined_rows, row_products,
};

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
    /// Kernel of the normalisation, with a second summand of its rows or without.
    pub(super) fn kernel(&self, added: bool) -> Norm {
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

/// Rotates queries and keys, and writes keys and values to the cache as `append` says. Gives the
/// arguments back without kernels and for tensors that they do not take.
///
/// # Shapes
/// - cos and sin: `[batch or 1, 1, length, head_dim / 2]`
/// - outputs: the rotated queries and the cached keys and values
pub(crate) fn rotate_and_append<B: Backend>(
    input: Appending<B>,
    [cos, sin]: [&Tensor<B, 4>; 2],
    append: RotaryAppend,
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
        && append.first + length <= keys.dims()[2];
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
    let outputs = (kernels.rotary_append)(append, inputs);
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

/// Cross-entropy of each row of logits against the index of its class, in f32; `None` without
/// kernels.
///
/// # Shapes
/// - logits: `[n, classes]`
/// - targets and output: `[n]`
pub(crate) fn token_losses<B: Backend>(
    logits: &Tensor<B, 2>,
    targets: &Tensor<B, 1, Int>,
) -> Option<Tensor<B, 1>> {
    let kernels = kernels::<B>()?;
    let [rows, classes] = logits.dims();
    if rows * classes == 0 || targets.dims() != [rows] {
        return None;
    }
    let inputs = vec![logits.clone().into(), targets.clone().into()];
    let [losses, _] = exactly((kernels.token_losses)(TokenLosses, inputs));
    Some(floats::<B, 1>(losses))
}
