//! Kinds of references.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kind of a [`Reference`](crate::Reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceKind {
    /// Phrase.
    Text,
    /// Box in the picture in question.
    Box,
    /// Another picture.
    Image,
    /// Sound.
    Audio,
}

impl fmt::Display for ReferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Box => "box",
            Self::Image => "picture",
            Self::Audio => "sound",
        })
    }
}
