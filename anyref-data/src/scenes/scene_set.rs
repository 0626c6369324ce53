//! Data set of scenes by split and index, and the questions about them.

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

/// Endless data set. Every scene and question is a pure function of its indices, so threads may
/// share one set and ask in any order.
#[derive(Debug)]
pub struct Scenes {
    library: Library,
    config: SceneConfig,
}

impl Scenes {
    /// Opens scenes of Tux Paint stamps. `stamps` is the unpacked stamps folder; `backgrounds` an
    /// unpacked `tuxpaint-data`, without which backgrounds are procedural.
    ///
    /// # Errors
    /// When a setting is out of range, no stamp exists that is large enough, or an existing picture
    /// or sound cannot be decoded.
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

    /// Opens scenes of coloured shapes with synthetic sounds; needs no download.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn shapes(config: SceneConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            library: shapes::library(),
            config,
        })
    }

    /// Cut-outs, sounds and backgrounds.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Settings of the scenes.
    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// Composes scene `index` of a split.
    pub fn scene(&self, split: Split, index: u64) -> Scene {
        composer::compose(
            &self.library,
            &self.config,
            split,
            split.seed(self.config.seed, index),
        )
    }

    /// Questions about a scene; another `seed` gives other questions.
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
