//! Tensors that every task of the backward pass reads and writes.

use super::problem::{Rows, Writer};
use super::views::Views;

/// Writers of the gradients; absent where not requested.
pub(super) struct Writers<'a> {
    pub(super) query: Option<Writer<'a>>,
    pub(super) key: Option<Writer<'a>>,
    pub(super) value: Option<Writer<'a>>,
    pub(super) position: Option<[Writer<'a>; 2]>,
}

/// Tensors that every task reads.
pub(super) struct Job<'a> {
    pub(super) views: Views<'a>,
    pub(super) output: Rows<'a, f32>,
    pub(super) statistics: Rows<'a, f32>,
    pub(super) grad: Rows<'a, f32>,
    pub(super) writers: Writers<'a>,
}
