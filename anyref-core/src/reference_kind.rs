//! Kinds of references.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kind of a [`Reference`](crate::Reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceKind {
    /// A phrase.
    Text,
    /// A box in the picture asked about.
    Box,
    /// Another picture.
    Image,
    /// A sound.
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
