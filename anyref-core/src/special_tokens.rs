//! The tokens that AnyRef adds to the language model's vocabulary.

use anyref_llm::tokenizer::Tokenizer;

use crate::{Error, Result};

/// What the authors call the mask token.
const AUTHORS_OBJECT: &str = "[SEG]";

/// Ids of the added tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `<obj>`: decoded to a mask (`[SEG]` in the authors' code).
    pub object: u32,
    /// `<im_start>`
    pub image_start: u32,
    /// `<im_end>`
    pub image_end: u32,
    /// `<aud_ref>`
    pub audio_start: u32,
    /// `</aud_ref>`
    pub audio_end: u32,
    /// `<img_ref>`
    pub reference_start: u32,
    /// `</img_ref>`
    pub reference_end: u32,
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

    /// Every added token, in the order that fixes the ids.
    pub const ALL: [&str; 7] = [
        Self::OBJECT,
        Self::IMAGE[0],
        Self::IMAGE[1],
        Self::AUDIO[0],
        Self::AUDIO[1],
        Self::REFERENCE[0],
        Self::REFERENCE[1],
    ];

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

    /// Looks the ids up.
    ///
    /// # Errors
    /// When the tokenizer lacks one of them. The authors' `[SEG]` does not stand in for `<obj>`:
    /// see [`name_object`](Self::name_object).
    pub fn of(tokenizer: &Tokenizer) -> Result<Self> {
        let id = |token: &str| {
            tokenizer
                .token_id(token)
                .ok_or_else(|| Error::MissingToken {
                    token: token.into(),
                })
        };
        Ok(Self {
            object: id(Self::OBJECT)?,
            image_start: id(Self::IMAGE[0])?,
            image_end: id(Self::IMAGE[1])?,
            audio_start: id(Self::AUDIO[0])?,
            audio_end: id(Self::AUDIO[1])?,
            reference_start: id(Self::REFERENCE[0])?,
            reference_end: id(Self::REFERENCE[1])?,
            end: id("</s>")?,
        })
    }
}
