//! Refocusing composed of tensor operations: runs on every backend, and is the reference for each
//! backend's own form.

use std::ops::Range;

use anyref_ops as ops;
use burn::tensor::{Bool, DType, Int, Tensor, TensorData, activation, backend::Backend};

use super::{ObjectToken, RefocusInput};

/// Logarithm below that of any attention weight, finite in f32.
const NO_WEIGHT: f64 = -1.0e30;

/// Computes the refocused states, see [`refocus`](super::refocus).
pub fn refocus<B: Backend>(input: RefocusInput<B>) -> Tensor<B, 2> {
    let (query, key, hidden, problem) = input.split();
    let (objects, hidden_offset) = (problem.tokens(), problem.hidden_offset());
    let [batch, length, width] = hidden.dims();
    if objects.is_empty() {
        return Tensor::empty([0, width], (&hidden.device(), hidden.dtype()));
    }
    let places = objects
        .iter()
        .map(|object| object.row * length + object.position - hidden_offset);
    let places = indices(places, &hidden.device());
    let states = hidden
        .clone()
        .reshape([batch * length, width])
        .select(0, places);
    let Some(columns) = problem.columns() else {
        return states;
    };

    let read = columns.start - hidden_offset..columns.end - hidden_offset;
    let read = rows(hidden.slice([0..batch, read, 0..width]), objects);
    let weights = span_weights(query, key, objects, columns);
    let sum = ops::matmul(weights, read.cast(DType::F32)).squeeze_dim::<2>(1);
    let dtype = states.dtype();
    (states.cast(DType::F32) + sum * problem.lambda()).cast(dtype)
}

/// Normalised weights of the span of each object.
///
/// # Shapes
/// - output: `[n, 1, columns]` in f32, 0 outside the span
fn span_weights<B: Backend>(
    query: Tensor<B, 3>,
    key: Tensor<B, 4>,
    objects: &[ObjectToken],
    columns: Range<usize>,
) -> Tensor<B, 3> {
    let attention = log_attention(query, key, objects);
    let [count, heads, _] = attention.dims();
    let attention = attention.slice([0..count, 0..heads, columns.clone()]);

    // Logarithm of the sum over heads; the mean differs by a constant, which normalising removes.
    let top = attention.clone().detach().max_dim(1);
    let attention = (attention - top.clone()).exp().sum_dim(1).log() + top;
    let span = outside(objects, columns, ObjectToken::span, &attention.device());
    // The second fill makes the weights of an empty span 0 instead of uniform.
    activation::softmax(attention.mask_fill(span.clone(), NO_WEIGHT), 2).mask_fill(span, 0.0)
}

/// Logarithms of each head's attention over the context of each object.
///
/// # Shapes
/// - output: `[n, heads, keys]` in f32, far below any weight outside the context
fn log_attention<B: Backend>(
    query: Tensor<B, 3>,
    key: Tensor<B, 4>,
    objects: &[ObjectToken],
) -> Tensor<B, 3> {
    let [count, heads, head_dim] = query.dims();
    let [_, kv_heads, keys, _] = key.dims();
    let query = query.cast(DType::F32) * (head_dim as f64).powf(-0.5);
    let query = query.reshape([count, kv_heads, heads / kv_heads, head_dim]);
    let key = rows(key, objects).cast(DType::F32);
    let scores = ops::matmul(query, key.swap_dims(2, 3)).reshape([count, heads, keys]);

    let context = outside(
        objects,
        0..keys,
        |o| o.context_start..o.position + 1,
        &scores.device(),
    );
    let scores = scores.mask_fill(context.expand([count, heads, keys]), NO_WEIGHT);
    activation::log_softmax(scores, 2)
}

/// Computes the mean attention, see [`object_attention`](super::object_attention).
pub(super) fn object_attention<B: Backend>(
    query: Tensor<B, 3>,
    key: Tensor<B, 4>,
    objects: &[ObjectToken],
) -> Tensor<B, 2> {
    log_attention(query, key, objects)
        .exp()
        .mean_dim(1)
        .squeeze_dim(1)
}

/// Selects the batch row of each object; nothing is copied when every object has its own row in
/// order, or all share the only one, which is then broadcast.
fn rows<B: Backend, const D: usize>(x: Tensor<B, D>, objects: &[ObjectToken]) -> Tensor<B, D> {
    let batch = x.dims()[0];
    let in_order = objects
        .iter()
        .enumerate()
        .all(|(index, object)| object.row == index);
    if batch == 1 || (in_order && objects.len() == batch) {
        return x;
    }
    let rows = indices(objects.iter().map(|object| object.row), &x.device());
    x.select(0, rows)
}

/// Mask `[n, 1, columns]`, true for columns outside the range of an object.
fn outside<B: Backend>(
    objects: &[ObjectToken],
    columns: Range<usize>,
    range: impl Fn(&ObjectToken) -> Range<usize>,
    device: &B::Device,
) -> Tensor<B, 3, Bool> {
    let mut mask = Vec::with_capacity(objects.len() * columns.len());
    for object in objects {
        let inside = range(object);
        mask.extend(columns.clone().map(|column| !inside.contains(&column)));
    }
    let data = TensorData::new(mask, [objects.len(), 1, columns.len()]);
    Tensor::from_data(data, device)
}

fn indices<B: Backend>(
    values: impl Iterator<Item = usize>,
    device: &B::Device,
) -> Tensor<B, 1, Int> {
    let values = values.map(|value| value as i64).collect::<Vec<_>>();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
