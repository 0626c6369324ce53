//! The part of a training configuration that describes scenes and questions.

use serde::Deserialize;

use super::instruction::InstructionConfig;
use super::scene_config::SceneConfig;

/// Scenes and questions of a training configuration; its other fields are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct SceneSetConfig {
    /// Size and contents of the scenes.
    #[serde(default)]
    pub scenes: SceneConfig,
    /// Questions asked about them.
    #[serde(default)]
    pub instructions: InstructionConfig,
    /// Draw procedural shapes in the place of stamps.
    #[serde(default)]
    pub shapes: bool,
}
