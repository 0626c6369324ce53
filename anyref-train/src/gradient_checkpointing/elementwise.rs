//! Backends that recompute elementwise operations for the gradient.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, NoCheckpointing};
use burn::tensor::backend::{AutodiffBackend, Backend};

/// Autodiff backend with a sibling that recomputes what is cheap: activations, sums and products
/// element by element, and norms (burn's `BalancedCheckpointing`).
pub trait Recomputing: AutodiffBackend {
    /// The sibling.
    type Sparing: AutodiffBackend<InnerBackend = Self::InnerBackend, Device = Self::Device>;
}

impl<B: Backend> Recomputing for Autodiff<B, NoCheckpointing> {
    type Sparing = Autodiff<B, BalancedCheckpointing>;
}
