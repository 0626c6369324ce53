//! One question of an evaluation and its outcome.

use serde::{Deserialize, Serialize};

use anyref_data::scenes::{Kind, Split};

/// Kind of questions of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvalKind {
    /// Phrase.
    Text,
    /// Box to be described.
    Box,
    /// Picture of a known object.
    Image,
    /// Picture of an object whose noun never occurred in training.
    Novel,
    /// Sound.
    Audio,
    /// References of several kinds.
    Mixed,
    /// Object that is not in the scene.
    Absent,
}

impl EvalKind {
    /// All kinds, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Text,
        Self::Box,
        Self::Image,
        Self::Novel,
        Self::Audio,
        Self::Mixed,
        Self::Absent,
    ];

    /// Kind with the name `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Box => "box",
            Self::Image => "image",
            Self::Novel => "novel",
            Self::Audio => "audio",
            Self::Mixed => "mixed",
            Self::Absent => "absent",
        }
    }

    /// Name of the score that matters most for this kind.
    pub fn main_score(self) -> &'static str {
        match self {
            Self::Box => "noun",
            Self::Absent => "no mask",
            _ => "gIoU",
        }
    }

    /// Kind of question in the data set.
    pub fn question(self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::Box => Kind::BoxToText,
            Self::Image | Self::Novel => Kind::Image,
            Self::Audio => Kind::Audio,
            Self::Mixed => Kind::Mixed,
            Self::Absent => Kind::Absent,
        }
    }

    /// Split of the scenes: the test split, which training does not use, or the novel one.
    pub fn split(self) -> Split {
        if self == Self::Novel {
            Split::Novel
        } else {
            Split::Test
        }
    }
}

/// Outcome of one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Kind of the question.
    pub kind: EvalKind,
    /// Index of the scene in its split.
    pub scene: u64,
    /// Text of the question.
    pub question: String,
    /// Ground-truth answer.
    pub expected: String,
    /// Answer of the model.
    pub answer: String,
    /// Number of masks in the answer.
    pub masks: usize,
    /// Union of the answer's masks, as COCO's compressed run lengths.
    pub counts: String,
    /// Height and width of the picture in pixels.
    pub size: [usize; 2],
    /// Pixels in the intersection of the united masks and the united true masks.
    pub intersection: u64,
    /// Pixels in their union.
    pub union: u64,
    /// Pixels of the united masks.
    pub predicted: u64,
    /// Pixels of the united true masks.
    pub truth: u64,
    /// IoU estimate of the mask decoder, the mean over the answer's masks.
    pub score: f32,
    /// Number of objects in the scene.
    pub objects: usize,
    /// Smallest visible share of the target's objects.
    #[serde(default)]
    pub visible: Option<f32>,
    /// Noun of the object, for a description.
    #[serde(default)]
    pub noun: Option<String>,
    /// Noun in the answer, for a description, if it is one of the data set's.
    #[serde(default)]
    pub said_noun: Option<String>,
    /// Whether the noun is right, for a description.
    pub noun_right: Option<bool>,
    /// Whether the answer distinguishes the object from all others of the scene, for a description.
    pub expression_right: Option<bool>,
    /// Reason why the model refused the question, if it did; the case then counts as an answer
    /// without masks and words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Case {
    /// Intersection over union; 1 when both are empty.
    pub fn iou(&self) -> f64 {
        if self.union == 0 {
            1.0
        } else {
            self.intersection as f64 / self.union as f64
        }
    }

    /// Quality of the answer, 0 to 1, to sort by.
    pub fn quality(&self) -> f64 {
        match self.kind {
            EvalKind::Box => {
                let right = [self.noun_right, self.expression_right];
                right.iter().filter(|r| **r == Some(true)).count() as f64 / 2.0
            }
            EvalKind::Absent => f64::from(u8::from(self.masks == 0)),
            _ => self.iou(),
        }
    }
}

#[cfg(test)]
impl Case {
    /// Case of a question for a mask with the given overlap in pixels, whose prediction covers the
    /// union.
    pub(super) fn of_pixels(intersection: u64, union: u64) -> Self {
        Self {
            kind: EvalKind::Text,
            scene: 0,
            question: String::new(),
            expected: String::new(),
            answer: String::new(),
            masks: 1,
            counts: String::new(),
            size: [1, 1],
            intersection,
            union,
            predicted: union,
            truth: intersection,
            score: 0.0,
            objects: 1,
            visible: None,
            noun: None,
            said_noun: None,
            noun_right: None,
            expression_right: None,
            refused: None,
        }
    }
}
