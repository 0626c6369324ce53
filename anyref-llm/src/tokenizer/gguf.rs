//! Tokenizers from the metadata of GGUF files.

use anyref_weights::GgufMetadata;
use tokenizers::models::bpe::Vocab;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::byte_level::{self, Splitter};
use super::{Tokenizer, sentencepiece};
use crate::error::{Error, Result};

/// Types of tokens that are never text: unknown and control tokens (`LLAMA_TOKEN_TYPE_CONTROL`).
const SPECIAL: [i64; 2] = [2, 3];
/// Type of tokens that are never split (`LLAMA_TOKEN_TYPE_USER_DEFINED`).
const USER_DEFINED: i64 = 4;
/// Special tokens of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTokens {
    /// Begin-of-text token.
    pub bos: Option<u32>,
    /// Tokens that end an answer: end of text, and end of turn if the file has one.
    pub eos: Vec<u32>,
    /// Begins texts with `bos`.
    pub add_bos: bool,
}

impl GgufTokens {
    /// Reads the tokens of a file's metadata.
    pub fn new(metadata: &GgufMetadata) -> Self {
        let id = |key: &str| {
            let id = metadata.integer(&format!("tokenizer.ggml.{key}"))?;
            u32::try_from(id).ok()
        };
        let bos = id("bos_token_id");
        let mut eos: Vec<u32> = ["eos_token_id", "eot_token_id"]
            .into_iter()
            .filter_map(id)
            .collect();
        eos.dedup();
        // llama.cpp's default is to begin texts of SentencePiece and of Llama 3 with it.
        let model = metadata.text("tokenizer.ggml.model");
        let begins =
            model == Some("llama") || splitter(metadata).is_some_and(|s| s == Splitter::Llama3);
        Self {
            bos,
            eos,
            add_bos: metadata
                .flag("tokenizer.ggml.add_bos_token")
                .unwrap_or(begins)
                && bos.is_some(),
        }
    }
}

impl Tokenizer {
    /// Builds the tokenizer of a GGUF file: SentencePiece's by scores (`llama`), or byte-level
    /// merges (`gpt2`) with the word splitting named by the file. The ids are those of llama.cpp.
    ///
    /// # Errors
    /// When the metadata has no tokenizer, one of another kind, or an inconsistent one.
    pub fn from_gguf(metadata: &GgufMetadata) -> Result<Self> {
        let inner = match metadata.text("tokenizer.ggml.model") {
            Some("llama") => sentencepiece::read_gguf(metadata),
            Some("gpt2") => bytes(metadata),
            Some(other) => Err(format!("of kind `{other}`, where llama and gpt2 are read")),
            None => Err("none in the file; convert the model again with its tokenizer".into()),
        };
        let inner = inner.map_err(|message| Error::tokenizer("of the GGUF file", message))?;
        Ok(Self::new(inner))
    }
}

fn splitter(metadata: &GgufMetadata) -> Option<Splitter> {
    match metadata.text("tokenizer.ggml.pre")? {
        "gpt-2" => Some(Splitter::Gpt2),
        "smollm" | "starcoder" => Some(Splitter::Digits),
        "llama-bpe" | "llama3" | "llama-v3" => Some(Splitter::Llama3),
        "qwen2" | "deepseek-r1-qwen" => Some(Splitter::Qwen2),
        _ => None,
    }
}

/// Builds a tokenizer of byte-level merges.
fn bytes(metadata: &GgufMetadata) -> std::result::Result<Inner, String> {
    let texts = |key: &str| {
        let found = metadata.texts(&format!("tokenizer.ggml.{key}"));
        let again = "convert the model again with llama.cpp's tools";
        found.ok_or_else(|| format!("no `tokenizer.ggml.{key}`; {again}"))
    };
    let (tokens, lines) = (texts("tokens")?, texts("merges")?);
    let kinds = metadata
        .integers("tokenizer.ggml.token_type")
        .unwrap_or(&[]);
    let splitter = splitter(metadata).ok_or_else(|| {
        let name = metadata.text("tokenizer.ggml.pre").unwrap_or("none");
        let known = "gpt-2, smollm, starcoder, llama-bpe and qwen2";
        format!("the splitting of words `{name}` is not supported, only {known}")
    })?;
    let mut vocabulary = Vocab::default();
    vocabulary.reserve(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if let Some(first) = vocabulary.insert(token.clone(), id as u32) {
            return Err(format!(
                "tokens {first} and {id} are both {token:?}; download it again"
            ));
        }
    }
    let mut joined = String::new();
    let mut merge = |line: &String| {
        let (left, right) = line.split_once(' ')?;
        joined.clear();
        joined.extend([left, right]);
        let known = |token: &str| vocabulary.contains_key(token);
        let whole = known(left) && known(right) && known(&joined);
        whole.then(|| (left.to_owned(), right.to_owned()))
    };
    let mut merges = Vec::with_capacity(lines.len());
    for line in lines {
        merges.push(merge(line).ok_or_else(|| {
            format!("the merge {line:?} is not a pair of tokens; download it again")
        })?);
    }
    let mut inner = byte_level::tokenizer(vocabulary, merges, splitter)?;
    let of = |wanted: &dyn Fn(i64) -> bool, special| -> Vec<AddedToken> {
        let found = tokens.iter().zip(kinds).filter(|(_, kind)| wanted(**kind));
        let added = found.map(|(token, _)| AddedToken::from(token.as_str(), special));
        added.map(|token| token.normalized(false)).collect()
    };
    inner.add_special_tokens(&of(&|kind| SPECIAL.contains(&kind), true));
    inner.add_tokens(&of(&|kind| kind == USER_DEFINED, false));
    Ok(inner)
}
