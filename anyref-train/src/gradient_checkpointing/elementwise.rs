//! Backends that recompute elementwise operations in the backward pass.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, NoCheckpointing};
use burn::tensor::backend::{AutodiffBackend, Backend};

/// Autodiff backend with a counterpart that recomputes cheap operations in the backward pass:
/// activations, elementwise sums and products, and norms (burn's `BalancedCheckpointing`).
pub trait Recomputing: AutodiffBackend {
    /// Backend that recomputes.
    type Sparing: AutodiffBackend<InnerBackend = Self::InnerBackend, Device = Self::Device>;
}

impl<B: Backend> Recomputing for Autodiff<B, NoCheckpointing> {
    type Sparing = Autodiff<B, BalancedCheckpointing>;
}
