//! Configuration of a model's prompts.

use anyref_llm::conversation::{
    Conversation, internlm2_chat, llava_llama_2, llava_v1, phi3_chat, qwen_chat,
};
use serde::{Deserialize, Serialize};

use crate::reference_kind::ReferenceKind;
use crate::reference_markers::{REFERENCE, VISUAL_PROMPT};

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
    /// Sa2VA's: "Please segment … in this image.".
    Sa2va,
}

impl QuestionForm {
    /// Question about a sentence that requires reasoning, which `{1}` stands for.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AnyRef => "{1} Can you segment it in this image?",
            Self::Lisa => "{1} Please output segmentation mask.",
            Self::Llava => "{1}",
            Self::Sa2va => "{1} Please respond with segmentation mask.",
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
    /// `qwen_chat`: "<|im_start|>user … <|im_end|>", of Sa2VA over Qwen 2.
    QwenChat,
    /// `internlm2_chat`: the same with another end, of Sa2VA over InternLM 2.
    #[serde(rename = "internlm2_chat")]
    Internlm2Chat,
    /// `phi3_chat`: "<|user|> … <|end|>".
    #[serde(rename = "phi3_chat")]
    Phi3Chat,
}

impl Template {
    /// Names of all templates.
    pub const NAMES: [&str; 5] = [
        "llava_v1",
        "llava_llama_2",
        "qwen_chat",
        "internlm2_chat",
        "phi3_chat",
    ];

    /// Template of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "llava_v1" => Some(Self::LlavaV1),
            "llava_llama_2" => Some(Self::LlavaLlama2),
            "qwen_chat" => Some(Self::QwenChat),
            "internlm2_chat" => Some(Self::Internlm2Chat),
            "phi3_chat" => Some(Self::Phi3Chat),
            _ => None,
        }
    }

    /// Creates an empty conversation.
    pub fn conversation(self) -> Conversation {
        match self {
            Self::LlavaV1 => llava_v1(),
            Self::LlavaLlama2 => llava_llama_2(),
            Self::QwenChat => qwen_chat(),
            Self::Internlm2Chat => internlm2_chat(),
            Self::Phi3Chat => phi3_chat(),
        }
    }

    /// Whether the token that begins a sequence stands before it.
    pub(crate) fn begins_sequences(self) -> bool {
        matches!(self, Self::LlavaV1 | Self::LlavaLlama2)
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
    /// The picture stands between `<img>` and `</img>`, without a line feed behind them, as in
    /// Sa2VA.
    Img,
}

impl PictureMarkers {
    /// The two tokens, where there are any.
    pub(crate) fn tokens(self) -> Option<[&'static str; 2]> {
        match self {
            Self::StartEnd => Some(["<im_start>", "<im_end>"]),
            Self::None => None,
            Self::Img => Some(["<img>", "</img>"]),
        }
    }

    /// Text between picture and question.
    pub(crate) fn separator(self) -> &'static str {
        match self {
            Self::StartEnd | Self::None => "\n",
            Self::Img => "",
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Form in which a region of the picture comes into the language model's input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionForm {
    /// Features pooled inside of a box, between markers in the question: AnyRef's.
    #[default]
    Features,
    /// Tokens of the whole picture that lie inside, between `<vp>` and `</vp>` in a sentence behind
    /// the picture, and "region1" in the question: Sa2VA's.
    VisualPrompt,
}

impl RegionForm {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Tokens around the features of a region.
    pub(crate) fn markers(self) -> [&'static str; 2] {
        match self {
            Self::Features => REFERENCE,
            Self::VisualPrompt => VISUAL_PROMPT,
        }
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
    /// Form of regions.
    #[serde(skip_serializing_if = "RegionForm::is_default")]
    pub regions: RegionForm,
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
            regions: RegionForm::default(),
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

    /// Sa2VA's: words, and regions for words about them.
    pub fn sa2va(template: Template) -> Self {
        Self {
            questions: QuestionForm::Sa2va,
            references: vec![ReferenceKind::Box],
            template,
            picture_markers: PictureMarkers::Img,
            regions: RegionForm::VisualPrompt,
        }
    }

    /// Tokens that give the model's input its form, which a user's words must not have.
    pub(crate) fn reserved(&self) -> Vec<String> {
        let conversation = self.template.conversation();
        let mut tokens = conversation.stop_words;
        // Names of speakers that begin with a token.
        for name in [conversation.user, conversation.assistant] {
            let token = name.split_inclusive("|>").next();
            tokens.extend(
                token
                    .filter(|token| token.ends_with("|>"))
                    .map(str::to_owned),
            );
        }
        let pairs = [self.picture_markers.tokens(), Some(self.regions.markers())];
        tokens.extend(pairs.into_iter().flatten().flatten().map(str::to_owned));
        if self.picture_markers == PictureMarkers::Img {
            tokens.extend(["[SEG]", "<IMG_CONTEXT>"].map(str::to_owned));
        }
        tokens
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
