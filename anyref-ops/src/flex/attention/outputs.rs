//! Tensors that the forward pass writes.

use super::problem::Writer;

/// Writers of the forward pass, which each query has rows of its own in.
pub(super) struct Outputs<'a> {
    pub(super) output: Writer<'a>,
    pub(super) statistics: Writer<'a>,
}
