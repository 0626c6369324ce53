//! Files of a CLIP folder that hold the vocabulary.

use std::path::{Path, PathBuf};

use anyref_weights::hub::refuse_location;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::models::bpe::{Merges, Vocab};

use super::words::END_OF_WORD;
use crate::error::{Error, Result};
use crate::tokenizer::file::{JSON, read};

const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
/// Beginning of the first line of [`MERGES`].
const VERSION: &str = "#version";

/// Tokens with their ids, and the merges in the order of their ranks.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// The file that it was read from.
    pub(super) path: PathBuf,
    pub(super) ids: Vocab,
    pub(super) merges: Merges,
}

impl Vocabulary {
    pub(super) fn is_in_folder(folder: &Path) -> bool {
        folder.join(JSON).exists() || folder.join(VOCABULARY).exists()
    }

    pub(super) fn of_folder(folder: &Path) -> Result<Self> {
        refuse_location(folder)?;
        let (vocabulary, merges) = (folder.join(VOCABULARY), folder.join(MERGES));
        if vocabulary.exists() && merges.exists() {
            return Self::of_two_files(vocabulary, &merges);
        }
        let whole = folder.join(JSON);
        if whole.exists() {
            return Self::of_tokenizer_json(whole);
        }
        let message = format!(
            "no {JSON}, and not both of {VOCABULARY} and {MERGES} here; give a folder of CLIP with its tokenizer"
        );
        Err(problem(folder, message))
    }

    fn of_two_files(path: PathBuf, merges: &Path) -> Result<Self> {
        let ids = parse(&path)?;
        let bytes = read(merges)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| problem(merges, "is not UTF-8; copy CLIP's own".into()))?;
        let first = usize::from(text.starts_with(VERSION));
        let mut pairs = Vec::new();
        for (number, line) in text.lines().enumerate().skip(first) {
            if line.is_empty() {
                continue;
            }
            pairs.push(pair(line).ok_or_else(|| {
                let message = format!("line {} is no pair of tokens: {line:?}", number + 1);
                problem(merges, message)
            })?);
        }
        Ok(Self {
            path,
            ids,
            merges: pairs,
        })
    }

    fn of_tokenizer_json(path: PathBuf) -> Result<Self> {
        let file: Value = parse(&path)?;
        let fail = |message: &str| problem(&path, format!("{message}; give the one of a CLIP"));
        let model = &file["model"];
        if model["end_of_word_suffix"].as_str() != Some(END_OF_WORD) {
            return Err(fail("is no byte-pair encoding whose words end in `</w>`"));
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
            .map(|merge| read(merge).ok_or_else(|| fail(&format!("{merge} is no merge"))))
            .collect::<Result<_>>()?;
        Ok(Self { path, ids, merges })
    }
}

/// Two tokens with a space between.
fn pair(line: &str) -> Option<(String, String)> {
    let (first, second) = line.trim_end().split_once(' ')?;
    let single = !first.is_empty() && !second.is_empty() && !second.contains(' ');
    single.then(|| (first.to_owned(), second.to_owned()))
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?).map_err(|source| Error::Json {
        what: path.display().to_string(),
        source,
    })
}

fn problem(path: &Path, message: String) -> Error {
    Error::tokenizer(path.display().to_string(), message)
}
