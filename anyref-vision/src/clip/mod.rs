//! CLIP's vision transformer (transformers `CLIPVisionModel`).

mod config;
mod embeddings;
mod encoder;
mod model;

pub use config::{ClipVisionConfig, HiddenAct};
pub use embeddings::ClipVisionEmbeddings;
pub use encoder::{ClipAttention, ClipEncoder, ClipEncoderLayer, ClipMlp};
pub use model::{ClipVisionModel, ClipVisionOutput};
