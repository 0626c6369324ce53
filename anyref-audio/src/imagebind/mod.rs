//! ImageBind's audio encoder and text tower.
//!
//! ```text
//! [b, clips, 1, 128, 204] ─stem─▶ [b·clips, 228, 768] ─CLS, positions─▶ [b·clips, 229, 768]
//!   ─12 blocks─▶ [b·clips, 229, 768] ─norm, CLS, head─▶ [b·clips, 1024]
//!   ─unit length × 20─▶ [b, clips, 1024]
//!
//! [b, 77] ─embeddings, positions─▶ [b, 77, 1024] ─24 causal blocks─▶ [b, 77, 1024]
//!   ─end of text, norm, head─▶ [b, 1024] ─unit length × learned scale─▶ [b, 1024]
//! ```
//!
//! Fields are named as in the authors' checkpoint. Stochastic depth is omitted, since the towers
//! are used frozen.

mod attention;
mod block;
mod head;
pub mod import;
mod joint_weight;
mod model;
mod text;
mod tokens;
mod trunk;

pub use attention::{MultiheadAttention, MultiheadAttentionConfig};
pub use block::{Block, BlockConfig, Mlp};
pub use head::{Head, HeadConfig};
pub use joint_weight::JointWeight;
pub use model::{ImageBindAudio, ImageBindAudioConfig};
pub use text::{ImageBindText, ImageBindTextConfig, TextTokens};
pub use tokens::{AudioTokens, AudioTokensConfig, PatchEmbed, Positions};
pub use trunk::{Trunk, TrunkConfig};
