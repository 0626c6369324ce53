//! Vocabulary files of a CLIP folder.

use std::path::{Path, PathBuf};

use anyref_weights::hub::refuse_location;
use serde_json::Value;
use tokenizers::models::bpe::Vocab;

use super::words::END_OF_WORD;
use crate::error::Result;
use crate::tokenizer::file::{JSON, parse, problem};
use crate::tokenizer::merges_file::{MERGES, VOCABULARY, Vocabulary, pair};

/// Returns whether the folder contains a file that [`of_folder`] reads, valid or not.
pub(super) fn is_in_folder(folder: &Path) -> bool {
    folder.join(JSON).exists() || folder.join(VOCABULARY).exists()
}

/// Reads tokens and merges of a CLIP folder.
pub(super) fn of_folder(folder: &Path) -> Result<Vocabulary> {
    refuse_location(folder)?;
    if Vocabulary::is_in_folder(folder) {
        return Vocabulary::of_folder(folder);
    }
    let whole = folder.join(JSON);
    if whole.exists() {
        return of_tokenizer_json(whole);
    }
    let message = format!(
        "no {JSON}, and not both of {VOCABULARY} and {MERGES} here; give a folder of CLIP with its tokenizer"
    );
    Err(problem(folder, message))
}

fn of_tokenizer_json(path: PathBuf) -> Result<Vocabulary> {
    let file: Value = parse(&path)?;
    let fail = |message: &str| problem(&path, format!("{message}; give the one of a CLIP"));
    let model = &file["model"];
    if model["end_of_word_suffix"].as_str() != Some(END_OF_WORD) {
        return Err(fail(
            "is not a byte-pair encoding whose words end in `</w>`",
        ));
    }
    let mut ids: Vocab = serde_json::from_value(model["vocab"].clone())
        .map_err(|error| fail(&format!("its vocabulary cannot be read ({error})")))?;
    for added in file["added_tokens"].as_array().into_iter().flatten() {
        let id = added["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        if let (Some(token), Some(id)) = (added["content"].as_str(), id) {
            ids.insert(token.to_owned(), id);
        }
    }
    let written = model["merges"].as_array();
    let written = written.ok_or_else(|| fail("has no merges"))?;
    let read = |merge: &Value| match merge {
        Value::String(line) => pair(line),
        merge => serde_json::from_value(merge.clone()).ok(),
    };
    let merges = written
        .iter()
        .map(|merge| read(merge).ok_or_else(|| fail(&format!("{merge} is not a merge"))))
        .collect::<Result<_>>()?;
    Ok(Vocabulary { path, ids, merges })
}
