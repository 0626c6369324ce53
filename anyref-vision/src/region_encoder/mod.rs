//! Features of boxes for a language model: several hidden states of CLIP as levels of a pyramid,
//! fused by convolutions, pooled by RoIAlign and joined with the box's place (GLaMM's
//! `MLVLROIQueryModule`, after GPT4RoI).

mod box_embedding;
mod config;
mod encoder;
mod level_fuse;
mod pooling;

pub use box_embedding::BoxEmbedding;
pub use config::RegionEncoderConfig;
pub use encoder::RegionEncoder;
pub use level_fuse::{ConvGroupNorm, LevelFuse};
pub use pooling::RegionPooling;
