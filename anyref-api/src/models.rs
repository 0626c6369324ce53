//! Facts about a model.

use anyref_core::EngineInfo;
use serde::Serialize;
use utoipa::ToSchema;

/// Inputs that a model takes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelDetail {
    /// Backend that it runs on.
    pub backend: String,
    /// Memory of its parameters, in bytes.
    pub bytes: u64,
    /// Kinds of reference that it takes: text, box, points, picture, sound.
    pub takes: Vec<&'static str>,
    /// Whether masks can be refined by points, see `/v1/masks`.
    pub refines: bool,
    /// Whether it makes masks; else it answers in words alone.
    pub masks: bool,
    /// Whether it answers in words; else it makes masks for points and boxes alone.
    pub speaks: bool,
    /// Names of the things that it learned; none where it is open to all.
    pub knows: Vec<String>,
}

impl ModelDetail {
    /// Facts about the model of an engine, which learned the things of these names.
    pub fn new(info: &EngineInfo, knows: &[String]) -> Self {
        let mut takes = vec!["box"];
        if info.makes_masks() {
            takes.push("points");
        }
        if info.speaks() {
            takes.extend(["text", "picture"]);
        }
        if info.hears() {
            takes.push("sound");
        }
        Self {
            backend: info.backend.to_string(),
            bytes: info.bytes(),
            takes,
            refines: info.makes_masks(),
            masks: info.makes_masks(),
            speaks: info.speaks(),
            knows: knows.to_vec(),
        }
    }
}
