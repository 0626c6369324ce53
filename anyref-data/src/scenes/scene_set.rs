//! The data set: scenes by split and index, and the questions about them.

use std::path::Path;

use super::background::Backgrounds;
use super::catalogue::Catalogue;
use super::composer::{self, Scene};
use super::error::Result;
use super::instruction::{self, Instruction, InstructionConfig};
use super::library::Library;
use super::scene_config::SceneConfig;
use super::split::{Split, mix};
use super::{shapes, texts};

/// An endless data set. Every scene and question is a pure function of its indices, so threads
/// may share one set and ask in any order.
#[derive(Debug)]
pub struct Scenes {
    library: Library,
    config: SceneConfig,
}

impl Scenes {
    /// Scenes of Tux Paint stamps. `stamps` is the unpacked stamps folder; `backgrounds` an
    /// unpacked `tuxpaint-data`, without which backgrounds are procedural.
    ///
    /// # Errors
    /// When a setting is outside of its range, none of the stamps is there and large enough, or a
    /// picture or sound that is there cannot be decoded.
    pub fn stamps(stamps: &Path, backgrounds: Option<&Path>, config: SceneConfig) -> Result<Self> {
        config.check()?;
        let catalogue = Catalogue::built_in()?;
        let backgrounds = match backgrounds {
            Some(folder) => Backgrounds::open(folder)?,
            None => Backgrounds::procedural(),
        };
        let (side, drawn) = (config.min_sprite_side, config.drawn_weight);
        let library = Library::stamps(stamps, &catalogue, backgrounds, side, drawn)?;
        Ok(Self { library, config })
    }

    /// Scenes of coloured shapes with synthetic sounds; needs no download.
    ///
    /// # Errors
    /// When a setting is outside of its range.
    pub fn shapes(config: SceneConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            library: shapes::library(),
            config,
        })
    }

    /// The cut-outs, sounds and backgrounds.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The scene settings.
    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// Scene `index` of a split.
    pub fn scene(&self, split: Split, index: u64) -> Scene {
        composer::compose(
            &self.library,
            &self.config,
            split,
            split.seed(self.config.seed, index),
        )
    }

    /// Questions about a scene; another `seed` asks others.
    pub fn instructions(
        &self,
        scene: &Scene,
        config: &InstructionConfig,
        seed: u64,
    ) -> Vec<Instruction> {
        instruction::ask(&self.library, scene, config, mix(scene.seed ^ mix(seed)))
    }

    /// Questions and answers with every word of the training split, for a tokenizer.
    pub fn all_texts(&self) -> Vec<String> {
        texts::all(&self.library)
    }
}
