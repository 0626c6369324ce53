//! Layers with parameters, named as in PyTorch once loaded through burn-store's adapter.

mod embedding;
mod heads;
mod layer_norm;
mod layer_norm_2d;
mod linear;
mod rms_norm;
mod row_layers;

pub use embedding::{Embedding, EmbeddingWeight};
pub use heads::{Head, heads};
pub use layer_norm::{LayerNorm, LayerNormConfig};
pub use layer_norm_2d::{LayerNorm2d, LayerNorm2dConfig};
#[cfg(feature = "cube")]
pub use linear::PlaneWeight;
#[cfg(feature = "flex")]
pub use linear::{BlockWeight, Int8Weight};
pub use linear::{Linear, LinearConfig, LinearWeight, Q8_0Block, Q8_0Weight};
pub use rms_norm::{RmsNorm, RmsNormConfig};
pub use row_layers::{RowLayer, RowLayers, RowOutputs};
