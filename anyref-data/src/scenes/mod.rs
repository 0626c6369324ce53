//! Composed scenes and the instruction pairs about them.
//!
//! [`Scenes`] is the entry point: `Scenes::stamps` cuts objects out of the Tux Paint stamps,
//! `Scenes::shapes` draws its own and needs no download. Everything is a pure function of split,
//! index and seed, so loaders may use any number of threads.

pub mod demo;
pub mod phrases;
pub mod sound;

mod background;
mod catalogue;
mod composer;
mod config;
mod error;
mod field;
mod instruction;
mod library;
mod made_up;
mod mask;
#[cfg(test)]
mod redrawn_masks;
mod reference;
mod scene_config;
mod scene_set;
mod shapes;
mod split;
mod sprite;
mod texts;

pub use composer::{Scene, SceneMadeUp, SceneObject};
pub use config::SceneSetConfig;
pub use error::{Error, Result};
pub use instruction::{Instruction, InstructionConfig, Kind, KindWeights, OBJECT, Target, mask_of};
pub use library::Library;
pub use mask::Mask;
pub use scene_config::SceneConfig;
pub use scene_set::Scenes;
pub use split::{Split, mix};
pub use sprite::Placement;
