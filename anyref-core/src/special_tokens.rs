//! The tokens that AnyRef adds to the language model's vocabulary.

use anyref_llm::tokenizer::Tokenizer;

use crate::prompt_config::{PictureMarkers, PromptConfig, RegionMarkers};
use crate::reference_kind::ReferenceKind;
use crate::{Error, Result};

/// Name of the mask token in the authors' code and in LISA.
pub(crate) const AUTHORS_OBJECT: &str = "[SEG]";

/// Ids of the added tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `<obj>`, of a model that makes masks: decoded to one (`[SEG]` in the authors' code).
    pub object: Option<u32>,
    /// `<im_start>`, of a model whose pictures stand between markers.
    pub image_start: Option<u32>,
    /// `<im_end>`, of a model whose pictures stand between markers.
    pub image_end: Option<u32>,
    /// `<aud_ref>`, of a model that hears.
    pub audio_start: Option<u32>,
    /// `</aud_ref>`, of a model that hears.
    pub audio_end: Option<u32>,
    /// `<img_ref>`, of a model that reads boxes or other pictures.
    pub reference_start: Option<u32>,
    /// `</img_ref>`, of a model that reads boxes or other pictures.
    pub reference_end: Option<u32>,
    /// `<bbox>`, of a model that reads boxes in its place instead.
    pub region: Option<u32>,
    /// `</s>`
    pub end: u32,
}

impl SpecialTokens {
    /// The mask token.
    pub const OBJECT: &str = "<obj>";
    /// Around the picture asked about.
    pub const IMAGE: [&str; 2] = ["<im_start>", "<im_end>"];
    /// Around a sound.
    pub const AUDIO: [&str; 2] = ["<aud_ref>", "</aud_ref>"];
    /// Around a reference picture or a box.
    pub const REFERENCE: [&str; 2] = ["<img_ref>", "</img_ref>"];
    /// In the place of a box, in GLaMM.
    pub const REGION: &str = "<bbox>";
    /// Around words that a mask stands for, in GLaMM.
    pub const PHRASE: [&str; 2] = ["<p>", "</p>"];

    /// Every token that AnyRef adds, in the order that fixes the ids.
    pub const ALL: [&str; 7] = [
        Self::OBJECT,
        Self::IMAGE[0],
        Self::IMAGE[1],
        Self::AUDIO[0],
        Self::AUDIO[1],
        Self::REFERENCE[0],
        Self::REFERENCE[1],
    ];

    /// Words of a piece of an answer as it comes: without mask tokens, and none of the token of a
    /// phrase, which comes by itself.
    pub fn words_of_piece(piece: &str) -> String {
        match Self::PHRASE.contains(&piece.trim()) {
            true => String::new(),
            false => piece.replace(Self::OBJECT, ""),
        }
    }

    /// Has a tokenizer call the mask token [`OBJECT`](Self::OBJECT), under the same id, where it
    /// has the authors' `[SEG]` instead: questions and answers have one name for it.
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
    /// As [`for_prompts`](Self::for_prompts).
    pub fn of(tokenizer: &Tokenizer) -> Result<Self> {
        Self::for_prompts(tokenizer, &PromptConfig::default(), true)
    }

    /// Looks up the ids of the tokens that a model's prompts need, that of a mask among them for a
    /// model that makes `masks`.
    ///
    /// # Errors
    /// When the tokenizer lacks one of them, or takes one apart. The authors' `[SEG]` does not
    /// stand in for `<obj>`: see [`name_object`](Self::name_object).
    pub fn for_prompts(tokenizer: &Tokenizer, prompts: &PromptConfig, masks: bool) -> Result<Self> {
        let id = |token: &str| whole_token(tokenizer, token);
        let pair = |reads: bool, tokens: [&str; 2]| match reads {
            true => Ok([Some(id(tokens[0])?), Some(id(tokens[1])?)]),
            false => Ok::<_, Error>([None; 2]),
        };
        let reads = |kind| prompts.reads(kind);
        let audio = pair(reads(ReferenceKind::Audio), Self::AUDIO)?;
        let regions = reads(ReferenceKind::Box) || reads(ReferenceKind::Image);
        let pairs = prompts.region_markers == RegionMarkers::Pair;
        let reference = pair(regions && pairs, Self::REFERENCE)?;
        let region = (regions && !pairs).then(|| id(Self::REGION)).transpose()?;
        pair(prompts.phrases, Self::PHRASE)?;
        let object = masks.then(|| id(Self::OBJECT)).transpose()?;
        let marked = prompts.picture_markers == PictureMarkers::StartEnd;
        let image = pair(marked, Self::IMAGE)?;
        Ok(Self {
            object,
            image_start: image[0],
            image_end: image[1],
            audio_start: audio[0],
            audio_end: audio[1],
            reference_start: reference[0],
            reference_end: reference[1],
            region,
            end: id("</s>")?,
        })
    }
}

/// The id of a token that the tokenizer leaves whole.
///
/// # Errors
/// When the tokenizer lacks it, or takes it apart.
pub(crate) fn whole_token(tokenizer: &Tokenizer, token: &str) -> Result<u32> {
    let named = || token.to_owned();
    match tokenizer.token_id(token) {
        None => Err(Error::MissingToken { token: named() }),
        Some(id) if tokenizer.encode(token, false)?.contains(&id) => Ok(id),
        Some(_) => Err(Error::SplitToken { token: named() }),
    }
}
