//! Cross-entropy.

use burn::tensor::{Int, Tensor, activation, backend::Backend};

/// Cross-entropy of each row of logits against the index of its class. GPUs take one launch, and
/// one for the gradient; probabilities are not kept.
///
/// # Shapes
/// - logits: `[n, classes]`
/// - targets: `[n]`
/// - output: `[n]`, in f32 on GPUs and in the type of the logits elsewhere
pub fn token_losses<B: Backend>(logits: Tensor<B, 2>, targets: Tensor<B, 1, Int>) -> Tensor<B, 1> {
    #[cfg(feature = "cube")]
    if let Some(losses) = crate::cube::token_losses(&logits, &targets) {
        return losses;
    }
    let picked = activation::log_softmax(logits, 1).gather(1, targets.unsqueeze_dim(1));
    -picked.squeeze_dim::<1>(1)
}
