//! Published checkpoints: content of a file, its config, and whether the two match.
//!
//! [`Published::open`] detects the [`Kind`] of a file or folder from its names. [`compare`]
//! compares it with a config, either a given one or that of the part's own `config.json` and
//! shapes. The other functions return this config and the options of
//! [`load_module`](anyref_weights::load_module) for each part:
//!
//! ```no_run
//! use anyref_core::official::{Published, clip_config, clip_options};
//! use anyref_weights::load_module;
//! use burn::backend::Flex;
//!
//! # fn main() -> anyref_core::Result<()> {
//! let published = Published::open("clip-vit-large-patch14".as_ref())?;
//! let mut tower = clip_config(&published)?.init::<Flex>(&Default::default());
//! load_module(&mut tower, &published.checkpoint, &clip_options(published.kind))?;
//! # Ok(())
//! # }
//! ```

mod clip;
mod compare;
mod config_file;
mod imagebind;
mod kind;
mod language_family;
mod llama;
mod llava;
mod object_head;
mod projector;
mod published;
mod region_encoder;
mod sa2va;
mod sam;
mod sam2;
mod shapes;

pub use compare::compare;
pub use kind::Kind;
pub use language_family::LanguageFamily;
pub use published::Published;

pub use clip::{clip_config, clip_options};
pub use imagebind::{audio_config, audio_options, has_text, text_config, text_options};
pub use llama::{Language, language, llama_options};
pub use llava::{llava_prompts, llava_resize};
pub use object_head::{object_head_config, object_head_options};
pub use projector::{projector_kind, projector_options};
pub use region_encoder::{region_encoder_config, region_encoder_options};
pub use sa2va::{Sa2vaOptions, Sa2vaParts, sa2va_parts};
pub use sam::{decoder_options, encoder_options, sam_parts};
pub use sam2::{sam2_checkpoint, sam2_decoder_options, sam2_encoder_options, sam2_parts};

pub(crate) use published::{is_published, is_sa2va};
pub(crate) use sam::MaskParts;
pub(crate) use sam2::Sam2MaskParts;
