//! Values of a problem by object, head and position.

use anyref_ops::slices::{dot_rows, largest, sum_exp};
use burn::tensor::TensorMetadata;
use burn_flex::FlexTensor;

use crate::refocus::{ObjectToken, Objects};

/// Contiguous values, and their layout.
pub(super) struct Problem<'a> {
    pub(super) query: &'a [f32],
    pub(super) key: &'a [f32],
    pub(super) hidden: &'a [f32],
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// Positions that have keys.
    pub(super) keys: usize,
    /// Positions that have hidden states.
    pub(super) length: usize,
    /// Width of a hidden state.
    pub(super) width: usize,
    pub(super) objects: &'a Objects,
}

/// Attention of one head over the context of an object.
pub(super) struct Head {
    /// Scores minus the largest, in the order of the context.
    pub(super) scores: Vec<f32>,
    /// Logarithm of the sum of their exponentials.
    pub(super) log_sum: f32,
}

impl<'a> Problem<'a> {
    /// Creates a problem from contiguous f32 tensors.
    pub(super) fn new(
        query: &'a FlexTensor,
        key: &'a FlexTensor,
        hidden: &'a FlexTensor,
        objects: &'a Objects,
    ) -> Self {
        let [_, heads, head_dim] = query.shape().dims();
        let [_, kv_heads, keys, _] = key.shape().dims();
        let [_, length, width] = hidden.shape().dims();
        Self {
            query: query.storage(),
            key: key.storage(),
            hidden: hidden.storage(),
            heads,
            kv_heads,
            head_dim,
            keys,
            length,
            width,
            objects,
        }
    }

    /// Factor of the scores.
    pub(super) fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }

    pub(super) fn query(&self, object: usize, head: usize) -> &'a [f32] {
        &self.query[(object * self.heads + head) * self.head_dim..][..self.head_dim]
    }

    /// Keys of all positions.
    pub(super) fn keys_of(&self, row: usize, kv_head: usize) -> &'a [f32] {
        let size = self.keys * self.head_dim;
        &self.key[(row * self.kv_heads + kv_head) * size..][..size]
    }

    /// Hidden state at a position.
    pub(super) fn state(&self, row: usize, position: usize) -> &'a [f32] {
        let place = row * self.length + position - self.objects.hidden_offset();
        &self.hidden[place * self.width..][..self.width]
    }

    /// Hidden states of consecutive positions.
    pub(super) fn states(&self, row: usize, start: usize, count: usize) -> &'a [f32] {
        let place = row * self.length + start - self.objects.hidden_offset();
        &self.hidden[place * self.width..][..count * self.width]
    }

    /// Computes the attention of one head of an object.
    pub(super) fn attend(&self, index: usize, object: &ObjectToken, head: usize) -> Head {
        let query = self.query(index, head);
        let keys = self.keys_of(object.row, head / (self.heads / self.kv_heads));
        let context = object.context();
        let keys = &keys[context.start * self.head_dim..context.end * self.head_dim];
        let mut scores = vec![0.0; context.len()];
        dot_rows(query, keys, self.scale(), &mut scores);
        let top = largest(&scores);
        scores.iter_mut().for_each(|score| *score -= top);
        let log_sum = sum_exp(&scores).ln();
        Head { scores, log_sum }
    }
}

impl Head {
    /// Logarithms of the attention to the object's span.
    pub(super) fn span_logs(&self, object: &ObjectToken) -> impl Iterator<Item = f32> {
        let (start, span) = (object.context_start, object.span());
        let scores = &self.scores[span.start.min(object.position + 1) - start..];
        scores
            .iter()
            .take(span.len())
            .map(|score| score - self.log_sum)
    }
}
