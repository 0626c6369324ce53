//! Part of a training configuration that describes scenes and questions.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::instruction::InstructionConfig;
use super::scene_config::SceneConfig;

/// Scenes and questions of a training configuration; its other fields are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct SceneSetConfig {
    /// Size and contents of the scenes.
    #[serde(default)]
    pub scenes: SceneConfig,
    /// Questions about the scenes.
    #[serde(default)]
    pub instructions: InstructionConfig,
    /// Whether procedural shapes are drawn instead of stamps.
    #[serde(default)]
    pub shapes: bool,
}

impl SceneSetConfig {
    /// Reads the scenes of a training configuration in JSON.
    ///
    /// # Errors
    /// When the text is no JSON, lacks `stages`, or has an invalid field about scenes or questions.
    pub fn from_training_config(text: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct TrainingConfig {
            #[serde(rename = "stages")]
            _stages: Vec<IgnoredAny>,
        }

        serde_json::from_str::<TrainingConfig>(text)?;
        serde_json::from_str(text)
    }
}
