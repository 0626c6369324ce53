//! Names of tensors in GGUF files.

/// Token embeddings.
pub(super) const TABLE: &str = "token_embd.weight";
/// Head, where it is not the table of embeddings.
pub(super) const HEAD: &str = "output.weight";
/// Final norm.
pub(super) const NORM: &str = "output_norm.weight";
/// Factors by which rotary frequencies are divided.
pub(super) const FREQUENCIES: &str = "rope_freqs.weight";

/// Tensor of a layer.
pub(super) fn of_layer(layer: usize, name: &str) -> String {
    format!("blk.{layer}.{name}")
}
