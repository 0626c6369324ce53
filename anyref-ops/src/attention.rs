//! Scaled dot-product attention.

use burn::tensor::{Bool, DType, Tensor, activation, backend::Backend};

use super::dispatch::on_processor;
use super::{folded_attention, matmul, matmul_transposed};

/// Decomposed relative positions of SAM's image encoder: the bias of query `q` on key `(y, x)` is
/// `height[q, y] + width[q, x]`.
#[derive(Debug, Clone)]
pub struct RelativePosition<B: Backend> {
    /// `[batch, heads, queries, key_rows]`
    pub height: Tensor<B, 4>,
    /// `[batch, heads, queries, key_columns]`
    pub width: Tensor<B, 4>,
}

/// What [`attention`] takes.
#[derive(Debug, Clone)]
pub struct AttentionInput<B: Backend> {
    /// `[batch, heads, queries, head_dim]`
    pub query: Tensor<B, 4>,
    /// `[batch, kv_heads, keys, head_dim]`; `heads` is a multiple of `kv_heads`.
    pub key: Tensor<B, 4>,
    /// `[batch, kv_heads, keys, value_dim]`
    pub value: Tensor<B, 4>,
    /// Positions not to attend to are `true`; each dimension is 1 or that of
    /// `[batch, heads, queries, keys]`.
    pub mask: Option<Tensor<B, 4, Bool>>,
    /// Relative positions over a grid of keys.
    pub relative_position: Option<RelativePosition<B>>,
    /// The last query sees all keys, the one before it one key less, and so on.
    pub causal: bool,
    /// Multiplies the scores; `1 / sqrt(head_dim)` when absent.
    pub scale: Option<f64>,
}

impl<B: Backend> AttentionInput<B> {
    /// Full attention without mask or bias, scaled by `1 / sqrt(head_dim)`.
    pub fn new(query: Tensor<B, 4>, key: Tensor<B, 4>, value: Tensor<B, 4>) -> Self {
        Self {
            query,
            key,
            value,
            mask: None,
            relative_position: None,
            causal: false,
            scale: None,
        }
    }

    /// Sets [`mask`](Self::mask).
    pub fn with_mask(mut self, mask: Option<Tensor<B, 4, Bool>>) -> Self {
        self.mask = mask;
        self
    }

    /// Sets [`relative_position`](Self::relative_position).
    pub fn with_relative_position(mut self, position: Option<RelativePosition<B>>) -> Self {
        self.relative_position = position;
        self
    }

    /// Sets [`causal`](Self::causal).
    pub fn with_causal(mut self, causal: bool) -> Self {
        self.causal = causal;
        self
    }

    /// Sets [`scale`](Self::scale).
    pub fn with_scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }
}

/// `softmax(query · keyᵀ · scale + bias) · value`. A query whose every key is masked attends to all
/// keys alike instead of giving NaN.
///
/// # Shapes
/// - output: `[batch, heads, queries, value_dim]`
pub fn attention<B: Backend>(input: AttentionInput<B>) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    let input = match super::flex::attention(input) {
        Ok(output) => return output,
        Err(input) => input,
    };
    match on_processor::<B>() {
        true => composed(input),
        false => folded_attention::attention(input),
    }
}

/// The composed form, in burn's own tensor operations; scores and softmax are f32 at least.
pub(super) fn composed<B: Backend>(input: AttentionInput<B>) -> Tensor<B, 4> {
    let [batch, heads, queries, head_dim] = input.query.dims();
    let [_, kv_heads, keys, _] = input.key.dims();
    let (key, value) = if kv_heads == heads {
        (input.key, input.value)
    } else {
        (
            repeat_heads(input.key, heads),
            repeat_heads(input.value, heads),
        )
    };
    let scale = input.scale.unwrap_or((head_dim as f64).powf(-0.5));
    let dtype = input.query.dtype();
    // The product may overflow in f16. On a GPU scaling the scores goes with what else is done to them.
    let first = dtype == DType::F16 || on_processor::<B>();
    let query = match first && scale != 1.0 {
        true => input.query * scale,
        false => input.query,
    };
    let mut scores = matmul_transposed(query, key);
    if matches!(dtype, DType::F16 | DType::BF16) {
        scores = scores.cast(DType::F32);
    }
    if !first && scale != 1.0 {
        scores = scores * scale;
    }
    if let Some(RelativePosition { height, width }) = input.relative_position {
        let [.., rows] = height.dims();
        let [.., columns] = width.dims();
        let scores_type = scores.dtype();
        let grid = scores.reshape([batch * heads, queries, rows, columns])
            + height
                .cast(scores_type)
                .reshape([batch * heads, queries, rows, 1])
            + width
                .cast(scores_type)
                .reshape([batch * heads, queries, 1, columns]);
        scores = grid.reshape([batch, heads, queries, keys]);
    }
    if input.causal {
        let offset = keys as i64 - queries as i64;
        let mask = Tensor::<B, 2, Bool>::tril_mask([queries, keys], offset, &scores.device());
        scores = scores.mask_fill(
            mask.unsqueeze::<4>().expand([batch, heads, queries, keys]),
            LOWEST,
        );
    }
    if let Some(mask) = input.mask {
        scores = scores.mask_fill(mask.expand([batch, heads, queries, keys]), LOWEST);
    }
    matmul(activation::softmax(scores, 3).cast(dtype), value)
}

/// A score that no unmasked one reaches.
const LOWEST: f64 = -1.0e30;

/// Repeats each key/value head for the query heads that share it.
fn repeat_heads<B: Backend>(x: Tensor<B, 4>, heads: usize) -> Tensor<B, 4> {
    let [batch, kv_heads, length, dim] = x.dims();
    let groups = heads / kv_heads;
    x.reshape([batch, kv_heads, 1, length, dim])
        .expand([batch, kv_heads, groups, length, dim])
        .reshape([batch, heads, length, dim])
}
