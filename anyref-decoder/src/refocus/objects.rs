//! Objects of a problem, as the host knows them.

use std::ops::Range;
use std::sync::Arc;

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
    /// The positions that the object's attention runs over.
    pub fn context(&self) -> Range<usize> {
        self.context_start..self.position + 1
    }

    /// The part of the span that the object's attention reaches; empty when there is none.
    pub fn span(&self) -> Range<usize> {
        let start = self.start.max(self.context_start);
        start..self.end.min(self.position + 1).max(start)
    }
}

/// The objects, and the numbers that go with them: what [`RefocusBackend`](super::RefocusBackend) is given
/// beside the tensors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    tokens: Arc<[ObjectToken]>,
    hidden_offset: usize,
    lambda: f64,
}

impl Objects {
    /// Objects in the order of the queries, the position of the first hidden state, and how much of the span
    /// is added.
    pub fn new(tokens: impl Into<Arc<[ObjectToken]>>, hidden_offset: usize, lambda: f64) -> Self {
        Self {
            tokens: tokens.into(),
            hidden_offset,
            lambda,
        }
    }

    /// The objects, in the order of the queries.
    pub fn tokens(&self) -> &[ObjectToken] {
        &self.tokens
    }

    /// Position of the first hidden state.
    pub fn hidden_offset(&self) -> usize {
        self.hidden_offset
    }

    /// How much of the span is added.
    pub fn lambda(&self) -> f64 {
        self.lambda
    }

    /// States in the longest span.
    pub fn longest_span(&self) -> usize {
        let lengths = self.tokens.iter().map(|token| token.span().len());
        lengths.max().unwrap_or(0)
    }

    /// One after the last position that any object attends to.
    pub fn context_end(&self) -> usize {
        let ends = self.tokens.iter().map(|token| token.context().end);
        ends.max().unwrap_or(0)
    }

    /// The objects of a batch row, with their indices.
    pub fn in_row(&self, row: usize) -> impl Iterator<Item = (usize, &ObjectToken)> {
        let tokens = self.tokens.iter().enumerate();
        tokens.filter(move |(_, token)| token.row == row)
    }

    /// The smallest range of positions that covers all spans; none when all are empty.
    pub(super) fn columns(&self) -> Option<Range<usize>> {
        let spans = || self.tokens.iter().map(ObjectToken::span);
        let spans = || spans().filter(|span| !span.is_empty());
        let start = spans().map(|span| span.start).min()?;
        let end = spans().map(|span| span.end).max()?;
        Some(start..end)
    }
}
