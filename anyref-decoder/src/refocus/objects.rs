//! Objects of a problem, known to the host.

use std::ops::Range;
use std::sync::Arc;

/// Position and context of an object; positions count from the first key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectToken {
    /// Row of the batch.
    pub row: usize,
    /// Position of the state.
    pub position: usize,
    /// First state of the span.
    pub start: usize,
    /// End of the span, exclusive. Positions outside `[context_start, position]` get no attention,
    /// and hence no weight.
    pub end: usize,
    /// First position that is not padding; attention covers `[context_start, position]`.
    pub context_start: usize,
}

impl ObjectToken {
    /// Positions covered by the object's attention.
    pub fn context(&self) -> Range<usize> {
        self.context_start..self.position + 1
    }

    /// Part of the span covered by the object's attention; possibly empty.
    pub fn span(&self) -> Range<usize> {
        let start = self.start.max(self.context_start);
        start..self.end.min(self.position + 1).max(start)
    }
}

/// Objects with λ and the hidden offset, the host's arguments of
/// [`RefocusBackend`](super::RefocusBackend) beside the tensors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    tokens: Arc<[ObjectToken]>,
    hidden_offset: usize,
    lambda: f64,
}

impl Objects {
    /// Creates the arguments from objects in the order of the queries, the position of the first
    /// hidden state, and the factor λ of the span's weighted sum.
    pub fn new(tokens: impl Into<Arc<[ObjectToken]>>, hidden_offset: usize, lambda: f64) -> Self {
        Self {
            tokens: tokens.into(),
            hidden_offset,
            lambda,
        }
    }

    /// Objects, in the order of the queries.
    pub fn tokens(&self) -> &[ObjectToken] {
        &self.tokens
    }

    /// Position of the first hidden state.
    pub fn hidden_offset(&self) -> usize {
        self.hidden_offset
    }

    /// Factor λ of the span's weighted sum.
    pub fn lambda(&self) -> f64 {
        self.lambda
    }

    /// Length of the longest span.
    pub fn longest_span(&self) -> usize {
        let lengths = self.tokens.iter().map(|token| token.span().len());
        lengths.max().unwrap_or(0)
    }

    /// End of the positions that any object attends to, exclusive.
    pub fn context_end(&self) -> usize {
        let ends = self.tokens.iter().map(|token| token.context().end);
        ends.max().unwrap_or(0)
    }

    /// Objects of a batch row, with their indices.
    pub fn in_row(&self, row: usize) -> impl Iterator<Item = (usize, &ObjectToken)> {
        let tokens = self.tokens.iter().enumerate();
        tokens.filter(move |(_, token)| token.row == row)
    }

    /// Smallest range of positions that covers all spans; `None` when all are empty.
    pub(super) fn columns(&self) -> Option<Range<usize>> {
        let spans = || self.tokens.iter().map(ObjectToken::span);
        let spans = || spans().filter(|span| !span.is_empty());
        let start = spans().map(|span| span.start).min()?;
        let end = spans().map(|span| span.end).max()?;
        Some(start..end)
    }
}
