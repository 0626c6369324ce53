//! Picture side of InternVL 2.5 and 3: InternViT-300M over tiles, pixel shuffle and the projector
//! to the language model (OpenGVLab's `InternVisionModel` and `mlp1`).

mod config;
mod embeddings;
mod encoder;
mod model;
mod pixel_shuffle;
mod projector;

pub use config::{InternVisionConfig, NormType};
pub use embeddings::InternVisionEmbeddings;
pub use encoder::{InternAttention, InternMlp, InternVisionEncoder, InternVisionEncoderLayer};
pub use model::InternVisionModel;
pub use pixel_shuffle::{PixelShuffle, PixelShuffleVersion, pixel_shuffle};
pub use projector::{InternVlProjector, InternVlProjectorConfig};
