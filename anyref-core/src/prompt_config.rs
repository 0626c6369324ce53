//! Configuration of a model's prompts.

use anyref_llm::conversation::{
    Conversation, internlm2_chat, llava_llama_2, llava_v1, phi3_chat, qwen_chat,
};
use serde::{Deserialize, Serialize};

use crate::markers::PHRASE;
use crate::reference_kind::ReferenceKind;
use crate::region_form::RegionForm;

/// Default question for a description of one reference (the phrase of the paper's training data).
pub const DESCRIBE_QUESTION: &str =
    "Can you provide a description of the region {1} in this image?";

/// Default question for a description in the words of GLaMM's training data, which Sa2VA shares
/// (GLaMM's `eval/region_captioning/infer.py` asks it).
const DESCRIBE_MARKED: &str =
    "Can you provide me with a detailed description of the region in the picture marked by {1}?";

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
    /// Sa2VA's questions: "Please segment … in this image.".
    Sa2va,
    /// GLaMM's questions: the same, with "the region" ahead of a box.
    Glamm,
}

impl QuestionForm {
    /// Question about a sentence that requires reasoning, which `{1}` stands for.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AnyRef => "{1} Can you segment it in this image?",
            Self::Lisa | Self::Glamm => "{1} Please output segmentation mask.",
            Self::Llava => "{1}",
            Self::Sa2va => "{1} Please respond with segmentation mask.",
        }
    }

    /// Question about what the reference `{1}` is.
    pub fn description(self) -> &'static str {
        match self {
            Self::AnyRef | Self::Lisa | Self::Llava => DESCRIBE_QUESTION,
            Self::Sa2va | Self::Glamm => DESCRIBE_MARKED,
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

    /// Returns whether the begin-of-sequence token stands before a conversation, unless a model
    /// states otherwise.
    pub fn begins_sequences(self) -> bool {
        match self {
            Self::LlavaV1 | Self::LlavaLlama2 | Self::Internlm2Chat => true,
            Self::QwenChat | Self::Phi3Chat => false,
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Place of a picture without markers in a question.
pub(crate) const IMAGE_PLACE: &str = "<image>";

/// Markers and words around the picture in the language model's input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureMarkers {
    /// Picture between `<im_start>` and `<im_end>` (LLaVA's `mm_use_im_start_end`).
    #[default]
    StartEnd,
    /// Picture without markers, as in LLaVA-1.5.
    None,
    /// Picture between `<img>` and `</img>`, without a line feed behind them, as in Sa2VA.
    Img,
    /// Picture between `<im_start>` and `<im_end>` in a sentence of its own, as in GLaMM.
    Overview,
}

impl PictureMarkers {
    /// Pair of tokens around the picture; `None` without any.
    pub(crate) fn tokens(self) -> Option<[&'static str; 2]> {
        match self {
            Self::StartEnd | Self::Overview => Some(["<im_start>", "<im_end>"]),
            Self::None => None,
            Self::Img => Some(["<img>", "</img>"]),
        }
    }

    /// Beginning of the first question: the place of the picture and the text around it.
    pub(crate) fn opening(self) -> String {
        let place = (self.tokens()).map_or(IMAGE_PLACE.to_owned(), |markers| markers.concat());
        match self {
            Self::StartEnd | Self::None => place + "\n",
            Self::Img => place,
            Self::Overview => format!("The {place} provides an overview of the picture.\n"),
        }
    }

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
    /// Begin-of-sequence token before a conversation, of a model whose tokenizer differs in this
    /// from others of its template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins_sequences: Option<bool>,
    /// Markers and words around the picture.
    #[serde(skip_serializing_if = "PictureMarkers::is_default")]
    pub picture_markers: PictureMarkers,
    /// Form of regions.
    #[serde(skip_serializing_if = "RegionForm::is_default")]
    pub regions: RegionForm,
    /// Answers with `<p>` and `</p>` around the words that a mask stands for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub phrases: bool,
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
            begins_sequences: None,
            picture_markers: PictureMarkers::default(),
            regions: RegionForm::default(),
            phrases: false,
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

    /// Sa2VA's configuration: words, and regions for words about them.
    pub fn sa2va(template: Template) -> Self {
        Self {
            questions: QuestionForm::Sa2va,
            references: vec![ReferenceKind::Box],
            template,
            picture_markers: PictureMarkers::Img,
            regions: RegionForm::VisualPrompt,
            ..Self::default()
        }
    }

    /// GLaMM's configuration: words to masks, boxes to words, captions with a mask for each phrase.
    pub fn glamm() -> Self {
        Self {
            questions: QuestionForm::Glamm,
            references: vec![ReferenceKind::Box],
            picture_markers: PictureMarkers::Overview,
            regions: RegionForm::Bbox,
            phrases: true,
            ..Self::default()
        }
    }

    /// Sets whether the begin-of-sequence token stands before a conversation.
    pub(crate) fn with_begins_sequences(self, begins: bool) -> Self {
        let other = begins != self.template.begins_sequences();
        Self {
            begins_sequences: other.then_some(begins),
            ..self
        }
    }

    /// Returns whether the begin-of-sequence token stands before a conversation.
    pub fn begins(&self) -> bool {
        let usual = || self.template.begins_sequences();
        self.begins_sequences.unwrap_or_else(usual)
    }

    /// First question of a conversation as the model reads it: the picture's place, the sentence
    /// that introduces its `regions` in forms that have one, and the question, of AnyRef's markers
    /// in place of these.
    pub fn opened(&self, question: &str, regions: usize) -> String {
        self.picture_markers.opening()
            + &self.regions.introduction(regions)
            + &self.regions.question(question, &mut 0)
    }

    /// Tokens that give the model's input or answers their form, which a user's words must not
    /// have.
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
        let picture = self.picture_markers.tokens().into_iter().flatten();
        let phrases = PHRASE.into_iter().filter(|_| self.phrases);
        let others = picture
            .chain(phrases)
            .chain(self.regions.tokens().iter().copied());
        tokens.extend(others.map(str::to_owned));
        if self.picture_markers == PictureMarkers::Img {
            tokens.extend(["[SEG]", "<IMG_CONTEXT>"].map(str::to_owned));
        }
        tokens
    }

    /// Returns whether the model was trained to make masks of references of this kind. Models whose
    /// regions are not AnyRef's were trained to describe boxes, not to segment them.
    pub fn segments(&self, kind: ReferenceKind) -> bool {
        self.reads(kind) && (kind != ReferenceKind::Box || self.regions.segments())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_omit_everything_that_is_anyrefs() {
        let sa2va = PromptConfig::sa2va(Template::QwenChat);
        for (config, written) in [
            (
                PromptConfig::lisa(),
                r#"{"questions":"lisa","references":[]}"#,
            ),
            (
                sa2va,
                r#"{"questions":"sa2va","references":["box"],"template":"qwen_chat","picture_markers":"img","regions":"visual_prompt"}"#,
            ),
            (
                PromptConfig::glamm(),
                r#"{"questions":"glamm","references":["box"],"picture_markers":"overview","regions":"bbox","phrases":true}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&config).unwrap(), written);
            let read: PromptConfig = serde_json::from_str(written).unwrap();
            assert_eq!(read, config);
        }
    }

    #[test]
    fn boxes_are_segmented_by_models_that_were_trained_to() {
        let boxes = |config: PromptConfig| {
            let kind = ReferenceKind::Box;
            (config.reads(kind), config.segments(kind))
        };
        assert_eq!(boxes(PromptConfig::default()), (true, true));
        assert_eq!(boxes(PromptConfig::lisa()), (false, false));
        assert_eq!(boxes(PromptConfig::glamm()), (true, false));
        assert_eq!(
            boxes(PromptConfig::sa2va(Template::QwenChat)),
            (true, false)
        );
        assert!(PromptConfig::glamm().segments(ReferenceKind::Text));
    }

    #[test]
    fn pictures_open_questions_in_their_markers() {
        let opening = |markers: PictureMarkers| markers.opening();
        assert_eq!(opening(PictureMarkers::StartEnd), "<im_start><im_end>\n");
        assert_eq!(opening(PictureMarkers::None), "<image>\n");
        assert_eq!(opening(PictureMarkers::Img), "<img></img>");
        assert_eq!(
            opening(PictureMarkers::Overview),
            "The <im_start><im_end> provides an overview of the picture.\n"
        );
    }
}
