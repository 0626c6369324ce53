//! AnyRef: point at things in pictures by text, box, picture or sound; get a sentence and masks.
//!
//! Composes the part crates into the model of *Multi-modal Instruction Tuned LLMs with Fine-grained
//! Visual Perception* (He et al., CVPR 2024, arXiv 2403.02969):
//!
//! ```text
//! picture ─┬─ CLIP ── projector ──┐
//!          └─ SAM encoder ──────┐ │            ┌─ text
//! box, picture, sound ─ tokens ─┼─┴── LLaMA ───┤
//!                               │              └─ <obj> states ─ refocus ─ head ─┐
//!                               └──────────────────────────────── mask decoder ──┴─ masks
//! ```
//!
//! [`AnyRef`] is the model with its tokenizer; [`AnyRefModel`] the network alone. A [`Picture`] is
//! encoded once and can be asked any number of [`Prompt`]s. An [`Engine`] is an `AnyRef` on a
//! backend chosen by name, for long-running programs.
//!
//! Published parts become a model folder by [`Assembly`], or run directly from a file that names
//! them ([`Assembly::read`]); [`official`] identifies the content of a checkpoint.
//! [`SoundLabeller`] names sounds for models that were trained on words alone.
//!
//! ```no_run
//! use anyref_core::{AnyRef, Prompt, Reference};
//! use burn::backend::Flex;
//!
//! # fn main() -> anyref_core::Result<()> {
//! let anyref = AnyRef::<Flex>::load("assets/nano".as_ref(), &Default::default())?;
//! let picture = anyref.picture(&anyref_vision::preprocess::open_image("scene.png")?)?;
//! let answer = anyref.segment(&picture, &Prompt::new([Reference::Text("the tiger".into())]))?;
//! println!("{}: {} masks", answer.text, answer.masks.len());
//! # Ok(())
//! # }
//! ```

#![recursion_limit = "256"]

#[cfg(feature = "mimalloc")]
pub mod allocator;
mod answer;
mod answering;
mod anyref;
mod assemble;
mod backend;
mod bridge;
mod candidates;
mod chat;
mod companions;
mod config;
mod connected;
mod conversation;
mod early_decoding;
mod early_masks;
mod encoder_blocks;
mod encoder_format;
mod encoding;
mod engine;
mod error;
mod explain;
mod folder;
mod free_memory;
mod generation;
mod known_models;
mod layout;
mod load;
mod markers;
mod mask_decoding;
mod mask_features;
mod mask_prompts;
mod memory;
mod memory_check;
mod memory_estimate;
mod model;
mod model_place;
mod observer;
pub mod official;
mod part_kind;
mod picture;
mod pipeline;
mod precision;
mod preprocess;
mod presets;
mod prompt;
mod prompt_config;
pub mod quantization;
mod read;
mod reference;
mod reference_kind;
mod reference_tokens;
mod region_form;
mod region_prompt;
mod reranking;
mod sam;
mod sentence;
pub mod sound_labels;
mod special_tokens;
mod splice;
mod tower;

pub use answer::{Answer, Mask, Timing};
pub use anyref::AnyRef;
pub use anyref_ops::CacheType;
pub use assemble::{Assembled, Assembly, PARTS_FILE, resolve_model, save_adapter};
#[cfg(all(feature = "webgpu", target_family = "wasm"))]
pub use backend::start_in_browser;
pub use backend::{BackendError, BackendName, OnDevice, OnDevices};
pub use bridge::{Bridge, BridgeLabel, BridgeOptions, BridgeWay};
pub use candidates::{CandidateConfig, MAX_CANDIDATES};
pub use chat::Chat;
pub use companions::Companions;
pub use config::{AnyRefConfig, AudioConfig};
pub use conversation::{Goal, History, Turn};
pub use encoder_blocks::EncoderBlocks;
pub use encoder_format::EncoderFormat;
pub use engine::{
    AnswerOptions, Dialogue, EncodedPicture, Engine, EngineFuture, EngineInfo, EngineOptions,
    ModelSource, PartInfo, Request, load_engine,
};
pub use error::{Error, Result};
pub use explain::{Explanation, Word};
pub use folder::{CONFIG_FILE, ModelFiles, OpenedModel, TOKENIZER_FILE, WEIGHTS_FILE};
pub use free_memory::free_memory;
pub use known_models::{KNOWN_MODELS, KnownModel};
pub use layout::{Layout, ObjectSpan, ObjectState, Slot, object_spans};
pub use mask_features::MaskFeatures;
pub use memory_estimate::{Gigabytes, MemoryEstimate, MemoryShortage};
pub use model::{AnyRefModel, MaskBranch, PictureFeatures, ReferencePooling, picture_grid};
pub use model_place::ModelPlace;
pub use observer::{Cancel, Observer, OnText};
pub use picture::Picture;
pub use precision::{FREQUENCIES, ModelOptions, as_loaded, cast_weights};
pub use preprocess::{PicturePixels, PicturePreprocessor};
pub use prompt::{Prompt, Question, next_placeholder};
pub use prompt_config::{DESCRIBE_QUESTION, PictureMarkers, PromptConfig, QuestionForm, Template};
pub use reference::{Reference, ReferenceImage};
pub use reference_kind::ReferenceKind;
pub use region_form::RegionForm;
pub use region_prompt::{TokenArea, region_cells};
pub use sam::{
    AutomaticMask, AutomaticMaskConfig, EarlierMask, LowResMask, MaskCandidate, MaskDecoderKind,
    MaskDecoderKindConfig, MaskImageEncoder, MaskImageEncoderConfig, MaskPrediction, MaskPrompt,
    Multimask, OnPoints, OneMask, Point, PointMasks, Sam2Config, Sam2Parts, SamConfig, SamForm,
    SamModel, SamParts, SamPicture, automatic_masks,
};
pub use sound_labels::{
    SoundLabel, SoundLabeller, SoundLabellerFiles, SoundLabellerOptions, SoundRanking,
    SoundVocabulary,
};
pub use special_tokens::SpecialTokens;
pub use splice::{ReferenceBank, Spliced, splice, splice_left};
pub use tower::{TiledTowerConfig, Tower, TowerConfig, TowerProjector};

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
