//! Configuration of a model's prompts.

use anyref_llm::conversation::{Conversation, llava_llama_2, llava_v1};
use serde::{Deserialize, Serialize};

use crate::reference_kind::ReferenceKind;

/// Family of the training questions that the default questions repeat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionForm {
    /// AnyRef's questions: "Can you segment … in this image?".
    #[default]
    AnyRef,
    /// LISA's questions: "What is … in this image? Please output segmentation mask.".
    Lisa,
    /// Questions for words about the references, of a model that makes no masks: "Describe … in
    /// this image.".
    Llava,
}

impl QuestionForm {
    /// Question about a sentence that requires reasoning, which `{1}` stands for.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AnyRef => "{1} Can you segment it in this image?",
            Self::Lisa => "{1} Please output segmentation mask.",
            Self::Llava => "{1}",
        }
    }
}

/// Conversation template, by LLaVA's name for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// `llava_v1`: "USER: … ASSISTANT: …".
    #[default]
    LlavaV1,
    /// `llava_llama_2`: `[INST] … [/INST] …`, of models on LLaMA 2 chat.
    #[serde(rename = "llava_llama_2")]
    LlavaLlama2,
}

impl Template {
    /// Names of all templates.
    pub const NAMES: [&str; 2] = ["llava_v1", "llava_llama_2"];

    /// Template of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "llava_v1" => Some(Self::LlavaV1),
            "llava_llama_2" => Some(Self::LlavaLlama2),
            _ => None,
        }
    }

    /// Creates an empty conversation.
    pub fn conversation(self) -> Conversation {
        match self {
            Self::LlavaV1 => llava_v1(),
            Self::LlavaLlama2 => llava_llama_2(),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Markers around the picture in the language model's input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureMarkers {
    /// Picture between `<im_start>` and `<im_end>` (LLaVA's `mm_use_im_start_end`).
    #[default]
    StartEnd,
    /// Picture without markers, as in LLaVA-1.5.
    None,
}

impl PictureMarkers {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Questions and references that a model was trained with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptConfig {
    /// Form of the default questions.
    pub questions: QuestionForm,
    /// Kinds of references with features in the language model's input. Text needs none. Other
    /// kinds are bridged: converted to words or to prompts of SAM's own.
    pub references: Vec<ReferenceKind>,
    /// Conversation template.
    #[serde(skip_serializing_if = "Template::is_default")]
    pub template: Template,
    /// Markers around the picture.
    #[serde(skip_serializing_if = "PictureMarkers::is_default")]
    pub picture_markers: PictureMarkers,
}

impl Default for PromptConfig {
    /// AnyRef's configuration.
    fn default() -> Self {
        Self {
            questions: QuestionForm::AnyRef,
            references: vec![
                ReferenceKind::Box,
                ReferenceKind::Image,
                ReferenceKind::Audio,
            ],
            template: Template::default(),
            picture_markers: PictureMarkers::default(),
        }
    }
}

impl PromptConfig {
    /// LISA's configuration: words alone.
    pub fn lisa() -> Self {
        Self {
            questions: QuestionForm::Lisa,
            references: Vec::new(),
            ..Self::default()
        }
    }

    /// LLaVA's configuration: words alone, and no masks.
    pub fn llava() -> Self {
        Self {
            questions: QuestionForm::Llava,
            ..Self::lisa()
        }
    }

    /// Returns whether the model reads references of this kind itself.
    pub fn reads(&self, kind: ReferenceKind) -> bool {
        kind == ReferenceKind::Text || self.references.contains(&kind)
    }

    /// Returns whether the configuration is AnyRef's, which config files omit.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
