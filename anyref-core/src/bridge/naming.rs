//! Names of things that are shown to the language model.

use burn::tensor::backend::Backend;
use image::RgbImage;

use super::phrase::phrase;
use crate::conversation::{Conversation, Goal, Turn};
use crate::observer::{Cancel, unobserved};
use crate::reference_kind::ReferenceKind;
use crate::{AnyRef, Error, Prompt, Result};

/// Question for a short name.
pub(super) const SHORT: &str =
    "What is the main object in this image? Answer with a short noun phrase.";
/// Question for a name that tells the thing from others of its kind.
pub(super) const DISTINCT: &str = "Describe the main object in this image in one short phrase, with its color, \
                                   shape and what it is doing.";

impl<B: Backend> AnyRef<B> {
    /// The language model's words for the picture `shown`, by one of the questions above.
    ///
    /// # Errors
    /// When the picture has no pixels, the model names nothing, or the device fails.
    pub(super) async fn name(
        &self,
        shown: &RgbImage,
        kind: ReferenceKind,
        question: &str,
        cancel: &Cancel,
    ) -> Result<String> {
        let squares = self.preprocessor().squares(shown)?;
        let picture = self.encode_for_words(&[&squares])?.remove(0);
        let prompt = Prompt::new([]).with_question(question);
        let turns = [Turn::new(prompt, Goal::Chat, &self.config.prompts)?];
        let asked = Conversation {
            picture: &picture,
            turns: &turns,
            goal: Goal::Chat,
        };
        let mut words = self.words(asked, cancel).await?;
        log::debug!("the language model says of a {kind}: {words}");
        words = phrase(&words).ok_or_else(|| Error::NotBridged {
            kind,
            remedy: format!(
                "the language model's words for it, {words:?}, name nothing; refer to it by text"
            ),
        })?;
        Ok(words)
    }

    /// The text of an answer, without decoding masks.
    async fn words(&self, asked: Conversation<'_, B>, cancel: &Cancel) -> Result<String> {
        let question = self.encode_question(asked)?;
        let generated = self
            .generate(&[asked], vec![question], &mut unobserved, cancel)
            .await?;
        if generated.not_finite().await?.contains(&true) {
            return Err(Error::NotFinite);
        }
        let tokens = &generated.answers[0].tokens;
        let object = self.special_tokens().object;
        let tokens: Vec<u32> = tokens
            .iter()
            .copied()
            .filter(|&id| Some(id) != object)
            .collect();
        Ok(self.tokenizer.decode(&tokens)?.trim().to_owned())
    }
}
