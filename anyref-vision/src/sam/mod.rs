//! SAM's image encoder (segment-anything `ImageEncoderViT`, transformers `SamVisionEncoder`).

mod attention;
mod config;
mod image_encoder;
mod layer;
mod neck;
mod relative_position;

pub use attention::SamVisionAttention;
pub use config::SamVisionConfig;
pub use image_encoder::{SamImageEncoder, SamPatchEmbeddings};
pub use layer::{SamMlp, SamVisionLayer};
pub use neck::SamVisionNeck;
