//! Tokens that AnyRef adds to the language model's vocabulary.

use anyref_llm::Tokenizer;

use crate::markers::{AUDIO, PHRASE, REFERENCE};
use crate::prompt_config::PromptConfig;
use crate::reference_kind::ReferenceKind;
use crate::{Error, Result};

/// Name of the mask token in the authors' code and in LISA.
pub(crate) const AUTHORS_OBJECT: &str = "[SEG]";

/// Ids of the added tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `<obj>` of a model that makes masks, each decoded to one (`[SEG]` in the authors' code).
    pub object: Option<u32>,
    /// `<im_start>` (`<img>` of Sa2VA), of a model whose pictures stand between markers.
    pub image_start: Option<u32>,
    /// `<im_end>` (`</img>` of Sa2VA), of a model whose pictures stand between markers.
    pub image_end: Option<u32>,
    /// `<aud_ref>`, of a model that hears.
    pub audio_start: Option<u32>,
    /// `</aud_ref>`, of a model that hears.
    pub audio_end: Option<u32>,
    /// `<img_ref>` (`<vp>` of Sa2VA), of a model that reads boxes or other pictures.
    pub reference_start: Option<u32>,
    /// `</img_ref>` (`</vp>` of Sa2VA), of a model that reads boxes or other pictures.
    pub reference_end: Option<u32>,
    /// `<bbox>`, of a model whose boxes replace it (GLaMM).
    pub region: Option<u32>,
    /// `</s>` (`<|im_end|>` of Sa2VA), which ends answers.
    pub end: u32,
}

impl SpecialTokens {
    /// Mask token.
    pub const OBJECT: &str = "<obj>";
    /// Markers around the picture in question.
    pub const IMAGE: [&str; 2] = ["<im_start>", "<im_end>"];
    /// Markers around a sound.
    pub const AUDIO: [&str; 2] = AUDIO;
    /// Markers around a reference picture or a box.
    pub const REFERENCE: [&str; 2] = REFERENCE;
    /// Markers around words that a mask stands for, in GLaMM.
    pub const PHRASE: [&str; 2] = PHRASE;

    /// All added tokens, in the order that determines the ids.
    pub const ALL: [&str; 7] = [
        Self::OBJECT,
        Self::IMAGE[0],
        Self::IMAGE[1],
        Self::AUDIO[0],
        Self::AUDIO[1],
        Self::REFERENCE[0],
        Self::REFERENCE[1],
    ];

    /// Words of a streamed piece of an answer: without mask tokens, and empty for the token of a
    /// phrase, which is a piece by itself.
    pub fn words_of_piece(piece: &str) -> String {
        match Self::PHRASE.contains(&piece.trim()) {
            true => String::new(),
            false => piece.replace(Self::OBJECT, ""),
        }
    }

    /// Renames the authors' mask token `[SEG]` in a tokenizer to [`OBJECT`](Self::OBJECT), with its
    /// id, so that questions and answers have a single name for it.
    ///
    /// # Errors
    /// When the token cannot be renamed.
    pub fn name_object(tokenizer: &mut Tokenizer) -> Result<()> {
        let knows = |token: &str| tokenizer.token_id(token).is_some();
        if knows(AUTHORS_OBJECT) && !knows(Self::OBJECT) {
            tokenizer.rename_token(AUTHORS_OBJECT, Self::OBJECT)?;
        }
        Ok(())
    }

    /// Looks up the ids of an AnyRef model's tokens.
    ///
    /// # Errors
    /// See [`for_prompts`](Self::for_prompts).
    pub fn of(tokenizer: &Tokenizer) -> Result<Self> {
        Self::for_prompts(tokenizer, &PromptConfig::default(), true)
    }

    /// Looks up the ids of the tokens that a model's prompts need, including the mask token if it
    /// makes `masks`.
    ///
    /// # Errors
    /// When the tokenizer lacks or splits one of them. The authors' `[SEG]` is not accepted as
    /// `<obj>`: see [`name_object`](Self::name_object).
    pub fn for_prompts(tokenizer: &Tokenizer, prompts: &PromptConfig, masks: bool) -> Result<Self> {
        let id = |token: &str| whole_token(tokenizer, token);
        let pair = |reads: bool, tokens: [&str; 2]| match reads {
            true => Ok([Some(id(tokens[0])?), Some(id(tokens[1])?)]),
            false => Ok::<_, Error>([None; 2]),
        };
        let reads = |kind| prompts.reads(kind);
        let audio = pair(reads(ReferenceKind::Audio), Self::AUDIO)?;
        let regions = reads(ReferenceKind::Box) || reads(ReferenceKind::Image);
        let regions = prompts.regions.tokens().iter().filter(|_| regions);
        let regions: Vec<u32> = regions.map(|token| id(token)).collect::<Result<_>>()?;
        let (reference, region) = match regions[..] {
            [start, end] => ([Some(start), Some(end)], None),
            [place] => ([None; 2], Some(place)),
            _ => ([None; 2], None),
        };
        pair(prompts.phrases, Self::PHRASE)?;
        let object = masks.then(|| id(Self::OBJECT)).transpose()?;
        let image = match prompts.picture_markers.tokens() {
            Some(markers) => pair(true, markers)?,
            None => [None; 2],
        };
        let stop_words = prompts.template.conversation().stop_words;
        Ok(Self {
            object,
            image_start: image[0],
            image_end: image[1],
            audio_start: audio[0],
            audio_end: audio[1],
            reference_start: reference[0],
            reference_end: reference[1],
            region,
            end: id(stop_words.first().map_or("</s>", String::as_str))?,
        })
    }

    /// Tokens that end an answer: [`end`](Self::end), and others of the template that the tokenizer
    /// has.
    pub(crate) fn stops(&self, tokenizer: &Tokenizer, prompts: &PromptConfig) -> Vec<u32> {
        let mut stops = vec![self.end];
        let others = prompts
            .template
            .conversation()
            .stop_words
            .into_iter()
            .skip(1);
        stops.extend(others.filter_map(|word| whole_token(tokenizer, &word).ok()));
        stops
    }
}

/// Id of a token that the tokenizer does not split.
///
/// # Errors
/// When the tokenizer lacks or splits it.
pub(crate) fn whole_token(tokenizer: &Tokenizer, token: &str) -> Result<u32> {
    let named = || token.to_owned();
    match tokenizer.token_id(token) {
        None => Err(Error::MissingToken { token: named() }),
        Some(id) if tokenizer.encode(token, false)?.contains(&id) => Ok(id),
        Some(_) => Err(Error::SplitToken { token: named() }),
    }
}
