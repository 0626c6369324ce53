//! SAM 2's image encoder: Hiera and a feature pyramid (SAM 2 `ImageEncoder`, transformers
//! `Sam2VisionModel`).

mod attention;
mod block;
mod config;
mod hiera;
mod image_encoder;
mod neck;
mod position;

pub use attention::MultiScaleAttention;
pub use block::{HieraMlp, MultiScaleBlock};
pub use config::{HieraConfig, Sam2VisionConfig};
pub use hiera::{Hiera, HieraPatchEmbeddings};
pub use image_encoder::{Sam2Features, Sam2ImageEncoder};
pub use neck::FpnNeck;
