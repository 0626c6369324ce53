//! Arguments of attention.

use burn::tensor::{Bool, Tensor, backend::Backend};

use crate::cached_rows::CachedRows;

/// Decomposed relative positions of SAM's image encoder: the bias of query `q` on key `(y, x)` is
/// `height[q, y] + width[q, x]`.
#[derive(Debug, Clone)]
pub struct RelativePosition<B: Backend> {
    /// Bias by the row of the key, `[batch, heads, queries, key_rows]`.
    pub height: Tensor<B, 4>,
    /// Bias by the column of the key, `[batch, heads, queries, key_columns]`.
    pub width: Tensor<B, 4>,
}

/// Arguments of [`attention`](crate::attention).
#[derive(Debug, Clone)]
pub struct AttentionInput<B: Backend> {
    /// Queries, `[batch, heads, queries, head_dim]`.
    pub query: Tensor<B, 4>,
    /// Keys, `[batch, kv_heads, keys, head_dim]`; `heads` is a multiple of `kv_heads`.
    pub key: Tensor<B, 4>,
    /// Values, `[batch, kv_heads, keys, value_dim]`.
    pub value: Tensor<B, 4>,
    /// Mask, `true` where attention is forbidden; each dimension is 1 or that of `[batch, heads,
    /// queries, keys]`.
    pub mask: Option<Tensor<B, 4, Bool>>,
    /// Relative positions over a grid of keys.
    pub relative_position: Option<RelativePosition<B>>,
    /// Causal mask: the last query sees all keys, the one before it one key less, and so on.
    pub causal: bool,
    /// Factor of the scores; `1 / sqrt(head_dim)` when absent.
    pub scale: Option<f64>,
    /// Allows products to round their factors to bf16, as layers with weights in fewer bits than
    /// f32 round theirs: on processors that multiply bf16 and without gradients. Sums and softmax
    /// are f32.
    pub rounded: bool,
}

impl<B: Backend> AttentionInput<B> {
    /// Creates full attention without mask or bias, scaled by `1 / sqrt(head_dim)`, from tensors in
    /// the shapes of the fields.
    pub fn new(query: Tensor<B, 4>, key: Tensor<B, 4>, value: Tensor<B, 4>) -> Self {
        Self {
            query,
            key,
            value,
            mask: None,
            relative_position: None,
            causal: false,
            scale: None,
            rounded: false,
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

    /// Sets [`rounded`](Self::rounded).
    pub fn with_rounded(mut self, rounded: bool) -> Self {
        self.rounded = rounded;
        self
    }

    /// Sets [`scale`](Self::scale).
    pub fn with_scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }
}

/// Arguments of [`cached_attention`](crate::cached_attention).
#[derive(Debug, Clone)]
pub struct CachedAttention<B: Backend> {
    /// Queries, `[batch, heads, queries, head_dim]`.
    pub query: Tensor<B, 4>,
    /// Keys, `[batch, kv_heads, keys, head_dim]`; `heads` is a multiple of `kv_heads`.
    pub key: CachedRows<B>,
    /// Values, `[batch, kv_heads, keys, value_dim]`.
    pub value: CachedRows<B>,
    /// Mask, `true` where attention is forbidden; each dimension is 1 or that of
    /// `[batch, heads, queries, keys]`.
    pub mask: Option<Tensor<B, 4, Bool>>,
    /// Causal mask: the last query sees all keys, the one before it one key less, and so on.
    pub causal: bool,
}
