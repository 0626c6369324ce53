//! The tokenizer of an assembled model.

use std::path::Path;

use anyref_llm::Tokenizer;
use anyref_weights::GgufMetadata;

use super::parts::Parts;
use crate::prompt_config::PromptConfig;
use crate::special_tokens::{AUTHORS_OBJECT, whole_token};
use crate::{Error, Result, SpecialTokens, TOKENIZER_FILE};

/// SentencePiece's own file, beside which others may name added tokens.
const SENTENCEPIECE_FILE: &str = "tokenizer.model";

/// The adapter's tokenizer, or else the language model's, with the tokens that AnyRef adds where
/// the model is one.
pub(super) fn tokenizer(parts: &Parts, prompts: &PromptConfig) -> Result<Tokenizer> {
    let adapter = parts.adapter.as_ref().map(|adapter| adapter.path());
    let file = parts.llm.path.as_path();
    let in_file = GgufMetadata::is_gguf(file);
    let folders = [adapter, (!in_file).then(|| parts.llm.folder())];
    let has_one = |folder: &&Path| {
        [TOKENIZER_FILE, SENTENCEPIECE_FILE]
            .iter()
            .any(|file| folder.join(file).is_file())
    };
    let (mut tokenizer, folder) = match folders.into_iter().flatten().find(has_one) {
        Some(folder) => (Tokenizer::from_folder(folder)?, folder),
        None if in_file => (Tokenizer::from_gguf(&GgufMetadata::open(file)?)?, file),
        None => {
            return Err(Error::folder(
                parts.llm.folder(),
                format!(
                    "no {TOKENIZER_FILE} and no {SENTENCEPIECE_FILE}; download one beside the language model"
                ),
            ));
        }
    };
    // Checks that the model's tokens are complete while the file can still be named in an error.
    let completed = match parts.is_lisa() {
        true => as_lisa(&mut tokenizer, prompts),
        false if parts.is_glamm() => as_glamm(&mut tokenizer, prompts),
        false if parts.is_llava() => as_llava(&tokenizer, prompts),
        false => complete(&mut tokenizer),
    };
    completed.map_err(|error| Error::folder(folder, error.to_string()))?;
    Ok(tokenizer)
}

/// Looks up the tokens of a model with the authors' mask token, which gets this workspace's name.
///
/// # Errors
/// When one of them is missing.
pub(super) fn with_masks(tokenizer: &mut Tokenizer, prompts: &PromptConfig) -> Result<()> {
    // By its own name, before it gets ours.
    whole_token(tokenizer, AUTHORS_OBJECT)?;
    SpecialTokens::name_object(tokenizer)?;
    SpecialTokens::for_prompts(tokenizer, prompts, true)?;
    if prompts.begins() {
        tokenizer.bos()?;
    }
    Ok(())
}

/// Looks up the tokens that LISA needs.
fn as_lisa(tokenizer: &mut Tokenizer, prompts: &PromptConfig) -> Result<()> {
    with_masks(tokenizer, prompts)?;
    tokenizer.bos()?;
    Ok(())
}

/// Looks up the tokens that GLaMM needs; those of phrases are to be seen in answers.
fn as_glamm(tokenizer: &mut Tokenizer, prompts: &PromptConfig) -> Result<()> {
    as_lisa(tokenizer, prompts)?;
    Ok(tokenizer.show_tokens(&SpecialTokens::PHRASE)?)
}

/// Looks up the tokens that a LLaVA needs.
fn as_llava(tokenizer: &Tokenizer, prompts: &PromptConfig) -> Result<()> {
    SpecialTokens::for_prompts(tokenizer, prompts, false)?;
    tokenizer.bos()?;
    Ok(())
}

/// Adds AnyRef's tokens and looks up those that it needs.
fn complete(tokenizer: &mut Tokenizer) -> Result<()> {
    SpecialTokens::name_object(tokenizer)?;
    tokenizer.add_anyref_tokens()?;
    SpecialTokens::of(tokenizer)?;
    tokenizer.bos()?;
    Ok(())
}
