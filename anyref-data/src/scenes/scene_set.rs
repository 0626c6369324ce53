//! The data set: scenes by split and index, and the questions about them.

use std::path::Path;

use super::background::Backgrounds;
use super::composer::{self, Scene, SceneConfig};
use super::instruction::{self, Instruction, InstructionConfig};
use super::library::Library;
use super::split::{Split, mix};
use super::{Catalogue, Error, Result, shapes, texts};

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
    /// When a setting is outside of its range, and as [`Catalogue::built_in`], [`Backgrounds::open`] and
    /// [`Library::stamps`].
    pub fn stamps(stamps: &Path, backgrounds: Option<&Path>, config: SceneConfig) -> Result<Self> {
        check(&config)?;
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
        check(&config)?;
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

fn check(config: &SceneConfig) -> Result<()> {
    let problem = |text: &str| Err(Error::Config(text.to_owned()));
    if config.size.iter().any(|side| !(32..=4096).contains(side)) {
        return problem("size must be 32 to 4096 pixels");
    }
    let [fewest, most] = config.objects;
    if fewest == 0 || fewest > most || most > 64 {
        return problem("objects must be 1 to 64, the fewest first");
    }
    let [smallest, largest] = config.scale;
    if !(smallest > 0.0 && smallest <= largest && largest <= 1.0) {
        return problem("scale must lie in 0 to 1, the smallest first");
    }
    if !(0.0..=1.0).contains(&config.min_visible) || !(0.0..=180.0).contains(&config.rotation) {
        return problem("min_visible must lie in 0 to 1 and rotation in 0 to 180");
    }
    if !(config.noise >= 0.0 && config.drawn_weight >= 0.0 && config.enlargement > 0.0) {
        return problem("noise and drawn_weight must not be negative, enlargement positive");
    }
    let probabilities = [
        config.same_noun,
        config.photo_background,
        config.distractors,
        config.shadow,
        config.blur,
        config.made_up,
    ];
    if probabilities.iter().any(|p| !(0.0..=1.0).contains(p)) {
        return problem("probabilities must lie in 0 to 1");
    }
    Ok(())
}
