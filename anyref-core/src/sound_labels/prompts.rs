//! Conversion of labels to the token ids of their prompts.

use anyref_llm::clip_tokenizer::ClipTokenizer;

use super::vocabulary::SoundVocabulary;
use crate::{Error, Result};

/// Placeholder of the label in a prompt.
const PLACE: &str = "{}";

/// Encodes each label's prompt, between start and end of text and without padding.
///
/// # Errors
/// When the prompt does not have exactly one placeholder, or a prompt with its label has more than
/// `context` tokens.
pub(super) fn encode_prompts(
    vocabulary: &SoundVocabulary,
    prompt: &str,
    tokenizer: &ClipTokenizer,
    context: usize,
) -> Result<Vec<Vec<u32>>> {
    if prompt.matches(PLACE).count() != 1 {
        return Err(Error::Placeholder {
            prompt: prompt.into(),
            problem: "needs one {} where the label of a sound goes, as in \"A {}.\"".into(),
        });
    }
    let labels = (1_usize..).zip(vocabulary.labels());
    let encode = |(number, label): (usize, &String)| {
        let ids = tokenizer.encode(&prompt.replace(PLACE, label), usize::MAX)?;
        if ids.len() > context {
            let beginning: String = label.chars().take(40).collect();
            let problem = format!(
                "line {number}, {beginning:?}, takes {} tokens with its prompt, at most {context} fit; shorten it",
                ids.len()
            );
            return Err(Error::folder(vocabulary.source(), problem));
        }
        Ok(ids)
    };
    labels.map(encode).collect()
}
