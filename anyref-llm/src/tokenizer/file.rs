//! Names, size limit, reading and errors of tokenizer files.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Hugging Face's file.
pub(crate) const JSON: &str = "tokenizer.json";
/// SentencePiece's file.
pub(super) const SENTENCEPIECE: &str = "tokenizer.model";
/// Maximum bytes of a tokenizer file; today's large vocabularies take about 20 MB.
const LARGEST: u64 = 256 << 20;

/// Reads a file of at most [`LARGEST`] bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > LARGEST {
        let message = format!("{size} bytes are too large for a tokenizer; give the model's own");
        return Err(Error::tokenizer(path.display().to_string(), message));
    }
    std::fs::read(path).map_err(io)
}

/// Reads a JSON file.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?).map_err(|source| Error::Json {
        what: path.display().to_string(),
        source,
    })
}

/// Creates an error about a tokenizer file.
pub(crate) fn problem(path: &Path, message: String) -> Error {
    Error::tokenizer(path.display().to_string(), message)
}
