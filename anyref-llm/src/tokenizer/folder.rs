//! Tokenizer of a model folder in Hugging Face's layout.

use std::collections::BTreeMap;
use std::path::Path;

use anyref_weights::hub::refuse_location;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::byte_level::{self, Splitter};
use super::file::{JSON, SENTENCEPIECE, parse, problem, read as read_file};
use super::merges_file::{MERGES, VOCABULARY, Vocabulary};
use super::sentencepiece::NamedToken;
use super::{SentencePieceConfig, Tokenizer};
use crate::error::Result;

const CONFIG: &str = "tokenizer_config.json";
/// Tokens and ids, as written by transformers before version 4.34.
const ADDED: &str = "added_tokens.json";
const SPECIAL: &str = "special_tokens_map.json";

/// Fields of `tokenizer_config.json` that affect ids.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    legacy: Option<bool>,
    add_bos_token: Option<bool>,
    tokenizer_class: Option<String>,
    /// Tokens by id.
    added_tokens_decoder: BTreeMap<u32, Entry>,
}

/// Token of `added_tokens_decoder`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Entry {
    content: String,
    lstrip: bool,
    rstrip: bool,
    single_word: bool,
    normalized: bool,
    special: bool,
}

impl Tokenizer {
    /// Reads the tokenizer of a model folder: `tokenizer.json`, or else `tokenizer.model`, or else
    /// `vocab.json` and `merges.txt`, with the tokens and options of `tokenizer_config.json` or
    /// `added_tokens.json`, like transformers' `LlamaTokenizer`, `Qwen2Tokenizer` and
    /// `GPT2Tokenizer`, and InternLM 2's `InternLM2Tokenizer`.
    ///
    /// # Errors
    /// When the folder has no tokenizer, or it cannot be read or is of another class.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        read(folder.as_ref())
    }

    /// Returns whether the begin-of-sequence token stands before texts (`add_bos_token` of
    /// `tokenizer_config.json`); `None` where the folder leaves it to the class of its tokenizer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn begins_texts_in_folder(folder: impl AsRef<Path>) -> Result<Option<bool>> {
        let config: Option<Config> = optional(&folder.as_ref().join(CONFIG))?;
        Ok(config.and_then(|config| config.add_bos_token))
    }

    /// Returns whether the folder contains a tokenizer for [`from_folder`](Self::from_folder),
    /// valid or not.
    pub fn is_in_folder(folder: impl AsRef<Path>) -> bool {
        has_one(folder.as_ref())
    }
}

/// Returns whether the folder contains a file that [`read`] accepts.
fn has_one(folder: &Path) -> bool {
    [JSON, SENTENCEPIECE]
        .iter()
        .any(|name| folder.join(name).exists())
        || Vocabulary::is_in_folder(folder)
}

/// Reads `tokenizer.json`, or else `tokenizer.model` or merges with the files beside them.
fn read(folder: &Path) -> Result<Tokenizer> {
    refuse_location(folder)?;
    let json = folder.join(JSON);
    if json.exists() {
        return Tokenizer::from_file(json);
    }
    if !has_one(folder) {
        let message = format!(
            "no {JSON} and no {SENTENCEPIECE} here, nor {VOCABULARY} with {MERGES}; copy the model's own into it"
        );
        return Err(problem(folder, message));
    }
    let config: Config = optional(&folder.join(CONFIG))?.unwrap_or_default();
    let path = folder.join(SENTENCEPIECE);
    if !path.exists() {
        return merges(folder, config);
    }
    let mut options = SentencePieceConfig::default();
    options.legacy = config.legacy.unwrap_or(options.legacy);
    let (source, mut added) = added(folder, config)?;
    let named = added.iter().map(|(&id, entry)| NamedToken {
        id,
        text: &entry.content,
        special: entry.special,
    });
    let mut inner = super::sentencepiece::read(&read_file(&path)?, named, options)
        .map_err(|message| problem(&path, message))?;
    // SentencePiece does not know these tokens, so the text is searched unnormalised.
    let entries = added.values_mut();
    entries.for_each(|entry| entry.normalized = false);
    add(&mut inner, added, &folder.join(source), SENTENCEPIECE)?;
    Ok(Tokenizer::new(inner))
}

/// Reads `vocab.json` and `merges.txt`.
fn merges(folder: &Path, config: Config) -> Result<Tokenizer> {
    let class = config.tokenizer_class.as_deref();
    let splitter = class.and_then(Splitter::of_class).ok_or_else(|| {
        let found = class.map_or("is missing".to_owned(), |class| format!("is {class}"));
        let message = format!(
            "`tokenizer_class` {found}; {VOCABULARY} is read for Qwen2Tokenizer and GPT2Tokenizer, others by {JSON}"
        );
        problem(&folder.join(CONFIG), message)
    })?;
    let Vocabulary { path, ids, merges } = Vocabulary::of_folder(folder)?;
    let mut inner = byte_level::tokenizer(ids, merges, splitter)
        .map_err(|message| problem(&path, format!("{message}; copy both files from one model")))?;
    if splitter == Splitter::Qwen2 {
        byte_level::compose_characters(&mut inner);
    }
    let (source, added) = added(folder, config)?;
    add(&mut inner, added, &folder.join(source), VOCABULARY)?;
    Ok(Tokenizer::new(inner))
}

/// Added tokens of a folder by id, and the file that lists them: `tokenizer_config.json`, or else
/// `added_tokens.json`.
fn added(folder: &Path, config: Config) -> Result<(&'static str, BTreeMap<u32, Entry>)> {
    match config.added_tokens_decoder.is_empty() {
        false => Ok((CONFIG, config.added_tokens_decoder)),
        true => Ok((ADDED, added_tokens(folder)?)),
    }
}

/// Adds tokens of the file `source`, whose ids must follow those of `beside`.
fn add(inner: &mut Inner, added: BTreeMap<u32, Entry>, source: &Path, beside: &str) -> Result<()> {
    for (id, entry) in added {
        let token = AddedToken::from(entry.content.as_str(), entry.special)
            .lstrip(entry.lstrip)
            .rstrip(entry.rstrip)
            .single_word(entry.single_word)
            .normalized(entry.normalized);
        match entry.special {
            true => inner.add_special_tokens(&[token]),
            false => inner.add_tokens(&[token]),
        };
        let found = inner.token_to_id(&entry.content);
        if found != Some(id) {
            let found = found.map_or("none".to_owned(), |found| found.to_string());
            return Err(problem(
                source,
                format!(
                    "token {:?} has the id {id} here and {found} beside {beside}; take both files from one model",
                    entry.content
                ),
            ));
        }
    }
    Ok(())
}

/// Tokens of `added_tokens.json`; those in `special_tokens_map.json` are special. Blanks around a
/// token belong to it, unless the map has flags for it: slow tokenizers of transformers before
/// version 4.34, which alone wrote such folders, strip the words beside added tokens
/// (`PreTrainedTokenizer.tokenize`).
fn added_tokens(folder: &Path) -> Result<BTreeMap<u32, Entry>> {
    let Some(added) = optional::<BTreeMap<String, u32>>(&folder.join(ADDED))? else {
        return Ok(BTreeMap::new());
    };
    let mut special = BTreeMap::new();
    if let Some(map) = optional::<BTreeMap<String, Value>>(&folder.join(SPECIAL))? {
        map.values().for_each(|value| contents(value, &mut special));
    }
    let entry = |(content, id): (String, u32)| {
        let stated = special.get(&content);
        let flags = stated.cloned().flatten().unwrap_or(Entry {
            lstrip: true,
            rstrip: true,
            ..Entry::default()
        });
        let entry = Entry {
            special: stated.is_some(),
            normalized: stated.is_none(),
            content,
            ..flags
        };
        (id, entry)
    };
    Ok(added.into_iter().map(entry).collect())
}

/// Collects the tokens in a value of `special_tokens_map.json`: a text, an object with `content`
/// and flags, or a list of these.
fn contents(value: &Value, found: &mut BTreeMap<String, Option<Entry>>) {
    match value {
        Value::String(text) => _ = found.insert(text.clone(), None),
        Value::Array(values) => values.iter().for_each(|value| contents(value, found)),
        Value::Object(_) => {
            if let Ok(entry) = serde_json::from_value::<Entry>(value.clone())
                && !entry.content.is_empty()
            {
                found.insert(entry.content.clone(), Some(entry));
            }
        }
        _ => {}
    }
}

/// Reads a JSON file, if it exists.
fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match path.exists() {
        true => parse(path).map(Some),
        false => Ok(None),
    }
}
