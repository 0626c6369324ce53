//! The tokenizer of a model folder in Hugging Face's layout.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyref_weights::hub::refuse_location;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::AddedToken;

use super::file::{JSON, SENTENCEPIECE, read as read_file};
use super::{SentencePieceConfig, Tokenizer};
use crate::error::{Error, Result};

const CONFIG: &str = "tokenizer_config.json";
/// Tokens and ids, as transformers wrote them before version 4.34.
const ADDED: &str = "added_tokens.json";
const SPECIAL: &str = "special_tokens_map.json";

/// The fields of `tokenizer_config.json` that change ids.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    legacy: Option<bool>,
    /// Tokens by id.
    added_tokens_decoder: BTreeMap<u32, Entry>,
}

/// A token of `added_tokens_decoder`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Entry {
    content: String,
    lstrip: bool,
    rstrip: bool,
    single_word: bool,
    special: bool,
}

impl Tokenizer {
    /// Reads the tokenizer of a model folder: `tokenizer.json`, or else `tokenizer.model` with the tokens
    /// and the behaviour that `tokenizer_config.json` or `added_tokens.json` give, like transformers'
    /// `LlamaTokenizer`.
    ///
    /// # Errors
    /// When there is neither, or one that cannot be read.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        read(folder.as_ref())
    }

    /// Whether [`from_folder`](Self::from_folder) finds one there, damaged or not.
    pub fn is_in_folder(folder: impl AsRef<Path>) -> bool {
        has_one(folder.as_ref())
    }
}

/// Whether there is a file that [`read`] takes.
fn has_one(folder: &Path) -> bool {
    [JSON, SENTENCEPIECE]
        .iter()
        .any(|name| folder.join(name).exists())
}

/// Reads `tokenizer.json`, or else `tokenizer.model` and the files beside it.
fn read(folder: &Path) -> Result<Tokenizer> {
    refuse_location(folder)?;
    let json = folder.join(JSON);
    if json.exists() {
        return Tokenizer::from_file(json);
    }
    if !has_one(folder) {
        let message =
            format!("no {JSON} and no {SENTENCEPIECE} here; copy the model's own into it");
        return Err(problem(folder, message));
    }
    let path = folder.join(SENTENCEPIECE);
    let config: Config = optional(&folder.join(CONFIG))?.unwrap_or_default();
    let mut options = SentencePieceConfig::default();
    options.legacy = config.legacy.unwrap_or(options.legacy);
    let mut inner = super::sentencepiece::read(&read_file(&path)?, options)
        .map_err(|message| problem(&path, message))?;

    let (source, added) = match config.added_tokens_decoder.is_empty() {
        false => (CONFIG, config.added_tokens_decoder),
        true => (ADDED, added_tokens(folder)?),
    };
    for (id, entry) in added {
        let token = AddedToken::from(entry.content.as_str(), entry.special)
            .lstrip(entry.lstrip)
            .rstrip(entry.rstrip)
            .single_word(entry.single_word)
            // SentencePiece knows nothing of it: the text is searched as it is.
            .normalized(false);
        match entry.special {
            true => inner.add_special_tokens(&[token]),
            false => inner.add_tokens(&[token]),
        };
        let found = inner.token_to_id(&entry.content);
        if found != Some(id) {
            let found = found.map_or("none".to_owned(), |found| found.to_string());
            return Err(problem(
                &folder.join(source),
                format!(
                    "token {:?} has the id {id} here and {found} beside {SENTENCEPIECE}; take both files from one model",
                    entry.content
                ),
            ));
        }
    }
    Ok(Tokenizer::new(inner))
}

/// The tokens of `added_tokens.json`; those of `special_tokens_map.json` are special.
fn added_tokens(folder: &Path) -> Result<BTreeMap<u32, Entry>> {
    let Some(added) = optional::<BTreeMap<String, u32>>(&folder.join(ADDED))? else {
        return Ok(BTreeMap::new());
    };
    let mut special = BTreeSet::new();
    if let Some(map) = optional::<BTreeMap<String, Value>>(&folder.join(SPECIAL))? {
        map.values().for_each(|value| contents(value, &mut special));
    }
    let entry = |(content, id): (String, u32)| {
        let special = special.contains(&content);
        let entry = Entry {
            content,
            special,
            ..Entry::default()
        };
        (id, entry)
    };
    Ok(added.into_iter().map(entry).collect())
}

/// The tokens in a value of `special_tokens_map.json`: a text, an object with `content`, or a list of such.
fn contents(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => _ = found.insert(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| contents(value, found)),
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get("content") {
                found.insert(text.clone());
            }
        }
        _ => {}
    }
}

/// A JSON file, if there is one.
fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let json = serde_json::from_slice(&read_file(path)?);
    json.map(Some).map_err(|source| Error::Json {
        what: path.display().to_string(),
        source,
    })
}

fn problem(path: &Path, message: String) -> Error {
    Error::tokenizer(path.display().to_string(), message)
}
