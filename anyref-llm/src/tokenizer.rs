//! Conversion of text to tokens and back.

mod byte_level;
pub(crate) mod file;
mod folder;
mod gguf;
mod json;
pub(crate) mod merges_file;
mod rename;
mod sentencepiece;

use std::ops::Range;
use std::path::Path;

use anyref_weights::hub::refuse_location;
use anyref_weights::write_atomic;
use tokenizers::{AddedToken, Tokenizer as Inner};

use crate::error::{Error, Result};
pub use gguf::GgufTokens;
pub use sentencepiece::SentencePieceConfig;

/// Tokens that AnyRef adds to a LLaMA vocabulary, in the order of their ids: the object token, then
/// begin and end of a picture, of a sound reference, and of a picture reference.
pub const SPECIAL_TOKENS: [&str; 7] = [
    "<obj>",
    "<im_start>",
    "<im_end>",
    "<aud_ref>",
    "</aud_ref>",
    "<img_ref>",
    "</img_ref>",
];

/// Tokenizer, read from Hugging Face's `tokenizer.json`, from SentencePiece's `tokenizer.model`, or
/// from the `vocab.json` and `merges.txt` of byte-level merges.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Inner,
}

impl Tokenizer {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner }
    }

    /// Reads a `tokenizer.json`, or a SentencePiece model if the name ends in `.model`. The latter
    /// is read alone, as LLaMA's own tokenizer; [`from_folder`](Self::from_folder) adds the tokens
    /// that files beside it name.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than 256 MiB, or is not a tokenizer of the kind
    /// indicated by its name.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        refuse_location(path)?;
        let bytes = file::read(path)?;
        let what = path.display().to_string();
        if path
            .extension()
            .is_some_and(|extension| extension == "model")
        {
            let config = SentencePieceConfig::default();
            let read = Self::from_sentencepiece(&bytes, config);
            return read.map_err(|error| match error {
                Error::Tokenizer { message, .. } => Error::tokenizer(what, message),
                other => other,
            });
        }
        let inner = json::read(&bytes).map_err(|message| Error::tokenizer(what, message))?;
        Ok(Self { inner })
    }

    /// Parses the content of a SentencePiece `tokenizer.model`. The ids are SentencePiece's own, as
    /// in transformers' `LlamaTokenizer`.
    ///
    /// # Errors
    /// When the content is damaged, or of a kind that would give other ids than SentencePiece.
    pub fn from_sentencepiece(bytes: &[u8], config: SentencePieceConfig) -> Result<Self> {
        let inner = sentencepiece::read(bytes, std::iter::empty(), config)
            .map_err(|message| Error::tokenizer(file::SENTENCEPIECE, message))?;
        Ok(Self { inner })
    }

    /// Parses the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// When the content is damaged, or not that of a `tokenizer.json`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let inner = json::read(bytes).map_err(|message| Error::tokenizer(file::JSON, message))?;
        Ok(Self { inner })
    }

    /// Serialises the tokenizer as the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// When a part of the tokenizer cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(false).map_err(failed("to json"))
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file cannot be written; also see [`to_json`](Self::to_json).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(write_atomic(path, self.to_json()?)?)
    }

    /// Tokenizes a text, with a leading begin-of-sequence token if `bos` is set.
    ///
    /// # Errors
    /// When a step of the tokenizer fails on the text, for instance if it needs an unknown token
    /// that the vocabulary lacks; with `bos`, also see [`bos`](Self::bos).
    pub fn encode(&self, text: &str, bos: bool) -> Result<Vec<u32>> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(failed("encode"))?;
        let bos = if bos { Some(self.bos()?) } else { None };
        Ok(bos
            .into_iter()
            .chain(encoding.get_ids().iter().copied())
            .collect())
    }

    /// Tokenizes a text; each token comes with its byte range in the text.
    ///
    /// # Errors
    /// When a step of the tokenizer fails on the text, for instance if it needs an unknown token
    /// that the vocabulary lacks.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>> {
        let encoding = self.inner.encode(text, false).map_err(failed("encode"))?;
        let offsets = encoding
            .get_offsets()
            .iter()
            .map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().copied().zip(offsets).collect())
    }

    /// Decodes tokens to text. Tokens added as special are omitted; `<obj>` is an ordinary one and
    /// is kept.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails. Ids outside the vocabulary are skipped without an error.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(failed("decode"))
    }

    /// Decodes tokens to text, including special ones.
    ///
    /// # Errors
    /// See [`decode`](Self::decode).
    pub fn decode_with_special(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, false).map_err(failed("decode"))
    }

    /// Id of a token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Token of an id, as spelled in the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Adds tokens that [`decode`](Self::decode) omits, in this order; known ones keep their ids.
    /// Returns the ids.
    ///
    /// # Errors
    /// When a token is empty.
    pub fn add_special_tokens(&mut self, tokens: &[&str]) -> Result<Vec<u32>> {
        let added: Vec<_> = tokens
            .iter()
            .map(|&token| AddedToken::from(token, true))
            .collect();
        self.inner.add_special_tokens(&added);
        self.ids(tokens)
    }

    /// Adds ordinary tokens, in this order; known ones keep their ids. Returns the ids.
    ///
    /// # Errors
    /// When a token is empty.
    pub fn add_tokens(&mut self, tokens: &[&str]) -> Result<Vec<u32>> {
        // Not normalised: with a normaliser that prepends a space, the token would match only after
        // one.
        let added = |&token: &&str| AddedToken::from(token, false).normalized(false);
        let added: Vec<_> = tokens.iter().map(added).collect();
        self.inner.add_tokens(&added);
        self.ids(tokens)
    }

    /// Adds [`SPECIAL_TOKENS`], the first as an ordinary token and the others as special ones.
    ///
    /// # Errors
    /// See [`add_tokens`](Self::add_tokens); none of these tokens is empty.
    pub fn add_anyref_tokens(&mut self) -> Result<Vec<u32>> {
        let mut ids = self.add_tokens(&SPECIAL_TOKENS[..1])?;
        ids.extend(self.add_special_tokens(&SPECIAL_TOKENS[1..])?);
        Ok(ids)
    }

    /// Renames a token, which keeps its id and becomes an ordinary one, as if added by
    /// [`add_tokens`](Self::add_tokens): [`decode`](Self::decode) keeps it.
    ///
    /// # Errors
    /// When the token does not exist, the new name is already taken, or the tokenizer's merges need
    /// the old name.
    pub fn rename_token(&mut self, from: &str, to: &str) -> Result<()> {
        let problem = |problem: &str| {
            let message = format!("`{from}` cannot be called `{to}`: {problem}");
            Error::tokenizer("vocabulary", message)
        };
        let Some(id) = self.token_id(from) else {
            return Err(problem("there is no such token"));
        };
        if from != to && self.token_id(to).is_some() {
            return Err(problem("another token is"));
        }
        let json = rename::renamed(&self.to_json()?, from, to)
            .map_err(|error| problem(&error.to_string()))?;
        let inner = json::read(json.as_bytes()).map_err(|error| problem(&error))?;
        let mut renamed = Self { inner };
        let ids = renamed.add_tokens(&[to])?;
        if ids != [id] || renamed.vocab_size() != self.vocab_size() {
            return Err(problem("its id would be another"));
        }
        *self = renamed;
        Ok(())
    }

    /// Makes tokens ordinary ones that [`decode`](Self::decode) leaves in.
    ///
    /// # Errors
    /// When there is no such token.
    pub fn show_tokens(&mut self, tokens: &[&str]) -> Result<()> {
        tokens
            .iter()
            .try_for_each(|token| self.rename_token(token, token))
    }

    /// Size of the vocabulary, including added tokens.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Id of the begin-of-sequence token, `<s>` (or Llama 3's).
    ///
    /// # Errors
    /// When the vocabulary has neither.
    pub fn bos(&self) -> Result<u32> {
        self.first_known(&["<s>", "<|begin_of_text|>"])
    }

    /// Id of the end-of-sequence token, `</s>` (or Llama 3's).
    ///
    /// # Errors
    /// When the vocabulary has neither.
    pub fn eos(&self) -> Result<u32> {
        self.first_known(&["</s>", "<|end_of_text|>"])
    }

    fn first_known(&self, tokens: &[&str]) -> Result<u32> {
        tokens
            .iter()
            .find_map(|token| self.token_id(token))
            .ok_or_else(|| {
                let message = format!("has no `{}`; use a LLaMA tokenizer", tokens[0]);
                Error::tokenizer("vocabulary", message)
            })
    }

    fn ids(&self, tokens: &[&str]) -> Result<Vec<u32>> {
        tokens
            .iter()
            .map(|token| self.first_known(&[token]))
            .collect()
    }
}

pub(crate) fn failed(what: &str) -> impl Fn(tokenizers::Error) -> Error + '_ {
    move |error| Error::tokenizer(what, error.to_string())
}
