//! The tokenizer of an assembled model.

use anyref_llm::Tokenizer;

use super::parts::Parts;
use crate::{Error, Result, SpecialTokens, TOKENIZER_FILE};

/// The mask token of the authors' code, which stands for `<obj>` where a tokenizer has it.
const AUTHORS_OBJECT: &str = "[SEG]";

/// The adapter's tokenizer, or else the language model's, with the tokens that AnyRef adds.
pub(super) fn tokenizer(parts: &Parts) -> Result<Tokenizer> {
    let adapter = parts.adapter.as_ref().map(|adapter| adapter.path());
    let folders = [adapter, Some(parts.llm.folder())];
    let file = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(TOKENIZER_FILE))
        .find(|file| file.is_file());
    let Some(file) = file else {
        return Err(Error::folder(
            parts.llm.folder(),
            format!("no {TOKENIZER_FILE}; download it beside the language model"),
        ));
    };
    let mut tokenizer = Tokenizer::from_file(&file)?;
    if tokenizer.token_id(AUTHORS_OBJECT).is_some() {
        tokenizer.add_special_tokens(&SpecialTokens::ALL[1..])?;
    } else {
        tokenizer.add_anyref_tokens()?;
    }
    // Whether all that a model needs is there, while the file can still be named.
    let needs = || -> Result<()> {
        SpecialTokens::of(&tokenizer)?;
        tokenizer.bos()?;
        Ok(())
    };
    needs().map_err(|error| Error::folder(&file, error.to_string()))?;
    Ok(tokenizer)
}
