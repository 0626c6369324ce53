//! Kinds of stages.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Task of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// CLIP: regions against names and against reference pictures.
    Clip,
    /// SAM: masks from boxes and points, whatever the object.
    Sam,
    /// ImageBind: sounds against the names that pictures were bound to.
    Audio,
    /// AnyRef: instructions.
    Instruct,
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clip => "clip",
            Self::Sam => "sam",
            Self::Audio => "audio",
            Self::Instruct => "instruct",
        })
    }
}
