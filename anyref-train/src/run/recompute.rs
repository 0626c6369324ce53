//! Backends that keep less for the gradient and compute it again.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, NoCheckpointing};
use burn::tensor::backend::{AutodiffBackend, Backend};

/// An autodiff backend with a sibling that computes again what is cheap: activations, sums and products element by
/// element, and norms.
pub trait Recomputing: AutodiffBackend {
    /// The sibling.
    type Sparing: AutodiffBackend<InnerBackend = Self::InnerBackend, Device = Self::Device>;
}

impl<B: Backend> Recomputing for Autodiff<B, NoCheckpointing> {
    type Sparing = Autodiff<B, BalancedCheckpointing>;
}
