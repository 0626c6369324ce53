//! Configuration of how a model is asked.

use serde::{Deserialize, Serialize};

use crate::reference_kind::ReferenceKind;

/// Family whose training questions the default questions repeat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionForm {
    /// AnyRef's: "Can you segment … in this image?".
    #[default]
    AnyRef,
    /// LISA's: "What is … in this image? Please output segmentation mask.".
    Lisa,
}

impl QuestionForm {
    /// Question about a sentence that has to be thought about, which `{1}` stands for.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AnyRef => "{1} Can you segment it in this image?",
            Self::Lisa => "{1} Please output segmentation mask.",
        }
    }
}

/// Questions and references that a model was trained with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptConfig {
    /// Form of the default questions.
    pub questions: QuestionForm,
    /// Kinds of references that have features in the language model's input. Text needs none.
    /// Other kinds are bridged: turned into words or into prompts of SAM's own.
    pub references: Vec<ReferenceKind>,
}

impl Default for PromptConfig {
    /// AnyRef's.
    fn default() -> Self {
        Self {
            questions: QuestionForm::AnyRef,
            references: vec![
                ReferenceKind::Box,
                ReferenceKind::Image,
                ReferenceKind::Audio,
            ],
        }
    }
}

impl PromptConfig {
    /// LISA's: words alone.
    pub fn lisa() -> Self {
        Self {
            questions: QuestionForm::Lisa,
            references: Vec::new(),
        }
    }

    /// Whether the model reads a reference of this kind itself.
    pub fn reads(&self, kind: ReferenceKind) -> bool {
        kind == ReferenceKind::Text || self.references.contains(&kind)
    }

    /// Whether it is AnyRef's, which configs leave out.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
