//! Refocusing: what an object's state adds from the states it was written after.
//!
//! The state `h_p` that predicts an object token becomes a mask. The words just written often name the
//! object better than that state does, and the model's own attention tells which of them matter. With `a_j`
//! the last layer's attention of position `p`, averaged over heads, and `[start, end)` the span of
//! states that wrote the answer,
//!
//! ```text
//! h'_p = h_p + λ · Σ_j (a_j / Σ_k a_k) · h_j        j, k in [start, end)
//! ```
//!
//! Only the object's row of the attention is computed. The weights are formed from logarithms in f32, so that
//! they stay exact and finite even where the whole span gets no attention that f32 could hold. An empty
//! span leaves the state unchanged.

mod reference;

use burn::tensor::{Tensor, backend::Backend};

/// Where an object's state lies and what it reads; positions count from the first of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectToken {
    /// Row of the batch.
    pub row: usize,
    /// Position of the state.
    pub position: usize,
    /// First state of the span.
    pub start: usize,
    /// One after the last state of the span. What lies outside `[context_start, position]` gets no
    /// attention, and hence no weight.
    pub end: usize,
    /// First position that is not padding: the attention runs over `[context_start, position]`.
    pub context_start: usize,
}

impl ObjectToken {
    /// The part of the span that the object's attention reaches.
    fn span(&self) -> std::ops::Range<usize> {
        self.start.max(self.context_start)..self.end.min(self.position + 1)
    }
}

/// What [`refocus`] takes, for `n` objects in `b` rows.
#[derive(Debug, Clone)]
pub struct RefocusInput<B: Backend> {
    /// The last layer's query of each object after rotary, `[n, heads, head_dim]`.
    pub query: Tensor<B, 3>,
    /// The last layer's keys after rotary, `[b, kv_heads, T, head_dim]`; `heads` is a multiple of `kv_heads`.
    pub key: Tensor<B, 4>,
    /// The last hidden states from position `hidden_offset` on, `[b, T', h]`.
    pub hidden: Tensor<B, 3>,
    /// Position of the first hidden state.
    pub hidden_offset: usize,
    /// The objects, in the order of `query`.
    pub objects: Vec<ObjectToken>,
    /// How much of the span is added; 0 adds nothing.
    pub lambda: f64,
}

/// Refocuses the state of every object. Gradients reach query, key and hidden states.
///
/// # Shapes
/// - output: `[n, h]`
///
/// # Panics
/// When an object lies outside the keys or the hidden states.
pub fn refocus<B: Backend>(input: RefocusInput<B>) -> Tensor<B, 2> {
    check(&input);
    reference::refocus(input)
}

fn check<B: Backend>(input: &RefocusInput<B>) {
    let [queries, heads, _] = input.query.dims();
    let [batch, kv_heads, keys, _] = input.key.dims();
    let [rows, length, _] = input.hidden.dims();
    let hidden = input.hidden_offset..input.hidden_offset + length;
    assert_eq!(queries, input.objects.len(), "refocus: one query an object");
    assert_eq!(
        batch, rows,
        "refocus: keys and hidden states have the same rows"
    );
    assert!(
        heads.is_multiple_of(kv_heads),
        "refocus: {heads} heads over {kv_heads} key heads"
    );
    for object in &input.objects {
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
