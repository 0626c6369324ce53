//! Composed scenes and the instruction pairs asked about them.
//!
//! [`Scenes`] is the entry point: `Scenes::stamps` cuts objects out of the Tux Paint stamps,
//! `Scenes::shapes` draws its own and needs no download. Everything is a pure function of the
//! split, the index and the seed, so a loader may run on any number of threads.

pub mod background;
pub mod catalogue;
pub mod composer;
pub mod demo;
pub mod field;
pub mod instruction;
pub mod library;
pub mod made_up;
pub mod mask;
pub mod phrases;
pub mod reference;
pub mod scene_set;
pub mod shapes;
pub mod sound;
pub mod split;
pub mod sprite;
pub mod texts;

mod config;
mod error;

pub use catalogue::{Catalogue, Stamp};
pub use composer::{Scene, SceneConfig, SceneObject};
pub use config::SceneSetConfig;
pub use error::{Error, Result};
pub use instruction::{
    Instruction, InstructionConfig, Kind, KindWeights, OBJECT, ReferenceData, Target, mask_of,
};
pub use mask::Mask;
pub use scene_set::Scenes;
pub use split::Split;
