//! Names of the files in a checkpoint's folder.

/// The model.
pub(super) const MODEL: &str = "model.safetensors";
/// The weights as the optimizer left them, where the model is their moving average.
pub(super) const LIVE: &str = "live.safetensors";
/// Moments of the optimizer.
pub(super) const OPTIMIZER: &str = "optimizer.safetensors";
/// Position of the run.
pub(super) const POSITION: &str = "position.json";
