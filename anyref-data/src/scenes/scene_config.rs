//! Size and contents of composed scenes.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// Size and contents of scenes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneConfig {
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Smallest and largest number of objects.
    pub objects: [usize; 2],
    /// Smallest and largest long side of an object, as a share of the scene's short side.
    pub scale: [f32; 2],
    /// Largest rotation either way, in degrees.
    pub rotation: f32,
    /// Largest enlargement; beyond a picture's own resolution blur becomes visible.
    pub enlargement: f32,
    /// Smallest share of an object that must be visible, 0 to 1.
    pub min_visible: f32,
    /// Probability that two objects share a noun.
    pub same_noun: f64,
    /// Weight of a drawing, against 1 for a photograph.
    pub drawn_weight: f64,
    /// Smallest long side of pictures in pixels; smaller ones are left out.
    pub min_sprite_side: f32,
    /// Probability of a photographic background, if there are any.
    pub photo_background: f64,
    /// Probability of nameless patches behind the objects.
    pub distractors: f64,
    /// Probability that an object casts a soft shadow.
    pub shadow: f64,
    /// Largest standard deviation of the noise, in grey levels.
    pub noise: f32,
    /// Probability of a slight blur over the whole scene.
    pub blur: f64,
    /// Probability that a training scene holds one or two nameless objects, to be found by pictures
    /// of them. Other splits hold none.
    pub made_up: f64,
    /// Seed of the whole data set.
    pub seed: u64,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            size: [256, 256],
            objects: [2, 6],
            scale: [0.15, 0.6],
            rotation: 25.0,
            enlargement: 2.2,
            min_visible: 0.35,
            same_noun: 0.35,
            drawn_weight: 0.35,
            min_sprite_side: 44.0,
            photo_background: 0.6,
            distractors: 0.35,
            shadow: 0.5,
            noise: 6.0,
            blur: 0.25,
            made_up: 0.0,
            seed: 0,
        }
    }
}

impl SceneConfig {
    /// Checks that scenes can meet the settings.
    pub(crate) fn check(&self) -> Result<()> {
        let problem = |text: &str| Err(Error::Config(text.to_owned()));
        if self.size.iter().any(|side| !(32..=4096).contains(side)) {
            return problem("size must be 32 to 4096 pixels");
        }
        let [fewest, most] = self.objects;
        if fewest == 0 || fewest > most || most > 64 {
            return problem("objects must be 1 to 64, the fewest first");
        }
        let [smallest, largest] = self.scale;
        if !(smallest > 0.0 && smallest <= largest && largest <= 1.0) {
            return problem("scale must lie in 0 to 1, the smallest first");
        }
        if !(0.0..=1.0).contains(&self.min_visible) || !(0.0..=180.0).contains(&self.rotation) {
            return problem("min_visible must lie in 0 to 1 and rotation in 0 to 180");
        }
        if !(self.noise >= 0.0 && self.drawn_weight >= 0.0 && self.enlargement > 0.0) {
            return problem("noise and drawn_weight must not be negative, enlargement positive");
        }
        let probabilities = [
            self.same_noun,
            self.photo_background,
            self.distractors,
            self.shadow,
            self.blur,
            self.made_up,
        ];
        if probabilities.iter().any(|p| !(0.0..=1.0).contains(p)) {
            return problem("probabilities must lie in 0 to 1");
        }
        Ok(())
    }
}
