//! Configuration of how a model is asked.

use anyref_llm::conversation::{Conversation, llava_llama_2, llava_v1};
use serde::{Deserialize, Serialize};

use crate::reference_kind::ReferenceKind;

/// The default question for a description of one reference (the phrase of the paper's training
/// data).
pub const DESCRIBE_QUESTION: &str =
    "Can you provide a description of the region {1} in this image?";

/// Family whose training questions the default questions repeat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionForm {
    /// AnyRef's: "Can you segment … in this image?".
    #[default]
    AnyRef,
    /// LISA's: "What is … in this image? Please output segmentation mask.".
    Lisa,
    /// Words about the references, of a model that makes no masks: "Describe … in this image.".
    Llava,
    /// GLaMM's: "Please segment … in this image.".
    Glamm,
}

impl QuestionForm {
    /// Question about a sentence that has to be thought about, which `{1}` stands for.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AnyRef => "{1} Can you segment it in this image?",
            Self::Lisa | Self::Glamm => "{1} Please output segmentation mask.",
            Self::Llava => "{1}",
        }
    }

    /// Question about what the reference `{1}` is.
    pub fn description(self) -> &'static str {
        match self {
            Self::AnyRef | Self::Lisa | Self::Llava => DESCRIBE_QUESTION,
            // The one that its evaluation asks (eval/region_captioning/infer.py).
            Self::Glamm => {
                "Can you provide me with a detailed description of the region in the picture \
                 marked by {1}?"
            }
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

    /// The template of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "llava_v1" => Some(Self::LlavaV1),
            "llava_llama_2" => Some(Self::LlavaLlama2),
            _ => None,
        }
    }

    /// An empty conversation.
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

/// Surroundings of the picture in the language model's input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureMarkers {
    /// The picture stands between `<im_start>` and `<im_end>` (LLaVA's `mm_use_im_start_end`).
    #[default]
    StartEnd,
    /// The picture stands by itself, as in LLaVA-1.5.
    None,
}

impl PictureMarkers {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Words around the picture in the first question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureLead {
    /// The picture on a line of its own.
    #[default]
    None,
    /// GLaMM's: "The … provides an overview of the picture.", on a line of its own.
    Overview,
}

impl PictureLead {
    /// The lines ahead of a question, with the picture's `marker` in its place.
    pub(crate) fn lines(self, marker: &str) -> String {
        match self {
            Self::None => format!("{marker}\n"),
            Self::Overview => format!("The {marker} provides an overview of the picture.\n"),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Place of a box or another picture in a question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionMarkers {
    /// Features between `<img_ref>` and `</img_ref>`.
    #[default]
    Pair,
    /// One feature in the place of `<bbox>`, as in GLaMM.
    Bbox,
}

impl RegionMarkers {
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
    /// Kinds of references that have features in the language model's input. Text needs none.
    /// Other kinds are bridged: turned into words or into prompts of SAM's own.
    pub references: Vec<ReferenceKind>,
    /// Conversation template.
    #[serde(skip_serializing_if = "Template::is_default")]
    pub template: Template,
    /// Surroundings of the picture.
    #[serde(skip_serializing_if = "PictureMarkers::is_default")]
    pub picture_markers: PictureMarkers,
    /// Words around the picture.
    #[serde(skip_serializing_if = "PictureLead::is_default")]
    pub picture_lead: PictureLead,
    /// Places of boxes.
    #[serde(skip_serializing_if = "RegionMarkers::is_default")]
    pub region_markers: RegionMarkers,
    /// Answers with `<p>` and `</p>` around the words that a mask stands for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub phrases: bool,
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
            template: Template::default(),
            picture_markers: PictureMarkers::default(),
            picture_lead: PictureLead::default(),
            region_markers: RegionMarkers::default(),
            phrases: false,
        }
    }
}

impl PromptConfig {
    /// LISA's: words alone.
    pub fn lisa() -> Self {
        Self {
            questions: QuestionForm::Lisa,
            references: Vec::new(),
            ..Self::default()
        }
    }

    /// LLaVA's: words alone, and no masks.
    pub fn llava() -> Self {
        Self {
            questions: QuestionForm::Llava,
            ..Self::lisa()
        }
    }

    /// GLaMM's: words to masks, boxes to words, captions with a mask for each phrase.
    pub fn glamm() -> Self {
        Self {
            questions: QuestionForm::Glamm,
            references: vec![ReferenceKind::Box],
            picture_lead: PictureLead::Overview,
            region_markers: RegionMarkers::Bbox,
            phrases: true,
            ..Self::default()
        }
    }

    /// Tells whether the model was trained to make masks of a reference of this kind. GLaMM reads
    /// boxes for words about them alone.
    pub fn segments(&self, kind: ReferenceKind) -> bool {
        let words_alone = self.questions == QuestionForm::Glamm && kind == ReferenceKind::Box;
        self.reads(kind) && !words_alone
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
