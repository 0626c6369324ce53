//! Arguments of refocusing.

use burn::tensor::{Tensor, backend::Backend};

use super::{ObjectToken, Objects};

/// Arguments of [`refocus`](super::refocus), for `n` objects in `b` rows.
#[derive(Debug, Clone)]
pub struct RefocusInput<B: Backend> {
    /// Query of the last layer for each object, after rotary, `[n, heads, head_dim]`.
    pub query: Tensor<B, 3>,
    /// Keys of the last layer after rotary, `[b, kv_heads, T, head_dim]`; `heads` is a multiple of
    /// `kv_heads`.
    pub key: Tensor<B, 4>,
    /// Last hidden states from position `hidden_offset` on, `[b, T', h]`.
    pub hidden: Tensor<B, 3>,
    /// Position of the first hidden state.
    pub hidden_offset: usize,
    /// Objects, in the order of `query`.
    pub objects: Vec<ObjectToken>,
    /// Factor λ of the span's weighted sum; 0 adds nothing.
    pub lambda: f64,
}

impl<B: Backend> RefocusInput<B> {
    /// Splits into query, key, hidden states and the host's part of the problem.
    pub fn split(self) -> (Tensor<B, 3>, Tensor<B, 4>, Tensor<B, 3>, Objects) {
        let objects = Objects::new(self.objects, self.hidden_offset, self.lambda);
        (self.query, self.key, self.hidden, objects)
    }

    /// Checks the arguments.
    ///
    /// # Panics
    /// When an object lies outside the keys or the hidden states, or the shapes of tensors and
    /// objects do not match.
    pub(super) fn check(&self) {
        let [queries, heads, head_dim] = self.query.dims();
        let [batch, kv_heads, keys, key_dim] = self.key.dims();
        let [rows, length, _] = self.hidden.dims();
        let hidden = self.hidden_offset..self.hidden_offset + length;
        assert_eq!(queries, self.objects.len(), "refocus: one query an object");
        assert_eq!(
            batch, rows,
            "refocus: keys and hidden states have the same rows"
        );
        assert_eq!(
            head_dim, key_dim,
            "refocus: queries and keys have the same width"
        );
        assert!(
            heads.is_multiple_of(kv_heads),
            "refocus: {heads} heads over {kv_heads} key heads"
        );
        for object in &self.objects {
            let span = object.span();
            assert!(
                object.row < batch
                    && object.context_start <= object.position
                    && object.position < keys
                    && hidden.contains(&object.position)
                    && (span.is_empty() || hidden.contains(&span.start)),
                "refocus: {object:?} lies outside {keys} keys or hidden states {hidden:?} of {batch} rows"
            );
        }
    }
}
