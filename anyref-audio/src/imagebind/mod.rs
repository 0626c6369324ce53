//! ImageBind's audio encoder.
//!
//! ```text
//! [b, clips, 1, 128, 204] ─stem─▶ [b·clips, 228, 768] ─CLS, positions─▶ [b·clips, 229, 768]
//!   ─12 blocks─▶ [b·clips, 229, 768] ─norm, CLS, head─▶ [b·clips, 1024] ─unit length × 20─▶ [b, clips, 1024]
//! ```
//!
//! Fields are named as in the authors' checkpoint. Stochastic depth is left out: the encoder is
//! used frozen.

mod attention;
mod block;
pub mod import;
mod model;
mod tokens;

pub use attention::{BiasedAttention, BiasedAttentionConfig};
pub use block::{Block, BlockConfig, Mlp};
pub use model::{Head, ImageBindAudio, ImageBindAudioConfig, Trunk};
pub use tokens::{AudioTokens, AudioTokensConfig, PatchEmbed, Positions};
