//! One question of an evaluation and how it went.

use serde::{Deserialize, Serialize};

use anyref_data::scenes::{Kind, Split};

/// Kind of questions of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvalKind {
    /// A phrase.
    Text,
    /// A box, to be described.
    Box,
    /// A picture of a known thing.
    Image,
    /// A picture of a thing whose noun never occurred in training.
    Novel,
    /// A sound.
    Audio,
    /// References of several kinds.
    Mixed,
    /// A thing that is not there.
    Absent,
}

impl EvalKind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Text,
        Self::Box,
        Self::Image,
        Self::Novel,
        Self::Audio,
        Self::Mixed,
        Self::Absent,
    ];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name on the command line.
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

    /// The score that matters most for it, by its name.
    pub fn main_score(self) -> &'static str {
        match self {
            Self::Box => "noun",
            Self::Absent => "no mask",
            _ => "gIoU",
        }
    }

    /// The data set's kind of question.
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

    /// Where its scenes come from: the test split, which training does not look at.
    pub fn split(self) -> Split {
        if self == Self::Novel {
            Split::Novel
        } else {
            Split::Test
        }
    }
}

/// How one question went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Kind of the questions.
    pub kind: EvalKind,
    /// Index of the scene in its split.
    pub scene: u64,
    /// The question.
    pub question: String,
    /// The right answer.
    pub expected: String,
    /// The model's answer.
    pub answer: String,
    /// Number of masks in the answer.
    pub masks: usize,
    /// The answer's masks united, as COCO run lengths, and the picture's height and width.
    pub counts: String,
    /// Height and width.
    pub size: [usize; 2],
    /// Pixels in both the united masks and the true ones.
    pub intersection: u64,
    /// Pixels in either.
    pub union: u64,
    /// Pixels of the united masks.
    pub predicted: u64,
    /// Pixels of the true masks.
    pub truth: u64,
    /// The decoder's own estimate, the mean over the answer's masks.
    pub score: f32,
    /// Objects in the scene.
    pub objects: usize,
    /// The least share of a target that is seen, of those that the question means.
    #[serde(default)]
    pub visible: Option<f32>,
    /// For a description: the object's noun.
    #[serde(default)]
    pub noun: Option<String>,
    /// For a description: the noun that was said, if it is one of the data set's.
    #[serde(default)]
    pub said_noun: Option<String>,
    /// For a description: whether its noun is right.
    pub noun_right: Option<bool>,
    /// For a description: whether it tells the object from all others of the scene.
    pub expression_right: Option<bool>,
    /// Why the model did not take the question, when it did not; it then counts as an answer
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

    /// How well it went, 0 to 1, to sort by.
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
    /// A question for a mask whose answer overlaps by so many pixels; all of the prediction is in
    /// the union.
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
