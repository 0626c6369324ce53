//! Record of how a reference was bridged.

use std::fmt;

use serde::Serialize;

use crate::reference_kind::ReferenceKind;

/// Reference of a kind that the model was not trained with, and its substitute in an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bridge {
    /// Number of the reference in its prompt, from 1.
    pub reference: usize,
    /// Kind of the reference.
    pub kind: ReferenceKind,
    /// Substitute of the reference.
    #[serde(flatten)]
    pub way: BridgeWay,
}

/// Label of a sound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BridgeLabel {
    /// Words of the label.
    pub label: String,
    /// Softmax probability among all labels, 0 to 1.
    pub probability: f32,
}

/// Substitute of a reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum BridgeWay {
    /// SAM's own prompt of a box.
    #[serde(rename = "sam_box_prompt")]
    BoxPrompt,
    /// Words of the language model for the part of the picture, or for the other picture.
    Name {
        /// The words.
        name: String,
    },
    /// Words of the language model, and the mask for them that is most similar to the reference.
    Lookalike {
        /// The words.
        name: String,
        /// Cosine similarity of CLIP's mean features of the reference and of each mask, as far as
        /// they are kept, in the order of the masks.
        similarities: Vec<f32>,
        /// Number of masks among which was chosen.
        candidates: usize,
    },
    /// Labels of ImageBind for a sound.
    #[serde(rename = "imagebind_labels")]
    Labels {
        /// The likeliest labels, the likeliest first.
        labels: Vec<BridgeLabel>,
        /// Labels that were asked for.
        asked: Vec<String>,
    },
}

impl fmt::Display for Bridge {
    /// One line for people: "box 1: SAM's own box prompt".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reference, kind, ..
        } = self;
        write!(f, "{kind} {reference}: ")?;
        match &self.way {
            BridgeWay::BoxPrompt => write!(f, "SAM's own box prompt"),
            BridgeWay::Name { name } => write!(f, "named {name:?} by the language model"),
            BridgeWay::Lookalike {
                name, candidates, ..
            } => write!(
                f,
                "named {name:?} by the language model, the most similar of {candidates} masks"
            ),
            BridgeWay::Labels { asked, .. } => {
                write!(f, "labelled {} by ImageBind", asked.join(", "))
            }
        }
    }
}
