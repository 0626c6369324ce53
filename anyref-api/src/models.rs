//! Properties of a model.

use anyref_core::EngineInfo;
use serde::Serialize;
use utoipa::ToSchema;

/// Properties of a model: its backend, memory, inputs and abilities.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelDetail {
    /// Backend that runs the model.
    pub backend: String,
    /// Memory of the parameters in bytes.
    pub bytes: u64,
    /// Supported kinds of reference: text, box, points, picture, sound.
    pub takes: Vec<&'static str>,
    /// Refines masks by points, see `/v1/masks`.
    pub refines: bool,
    /// Makes masks; otherwise the model answers in words alone.
    pub masks: bool,
    /// Answers in words; otherwise the model makes masks for points and boxes alone.
    pub speaks: bool,
    /// Names of the things that the model learned; empty for an open vocabulary.
    pub knows: Vec<String>,
}

impl ModelDetail {
    /// Describes the model of an engine, which learned the things named in `knows`.
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
