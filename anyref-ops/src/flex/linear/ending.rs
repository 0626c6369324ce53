//! Last steps of a product.

use super::super::activation::Activation;

/// Bias and function of the sums of a product.
#[derive(Clone, Copy)]
pub(crate) struct Ending<'a> {
    /// `[outputs]`
    pub(crate) bias: Option<&'a [f32]>,
    /// Function of the sum of product and bias.
    pub(crate) activation: Option<Activation>,
}
