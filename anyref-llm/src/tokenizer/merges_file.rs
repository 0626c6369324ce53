//! Files of a byte-pair encoding: `vocab.json` and `merges.txt`.

use std::path::{Path, PathBuf};

use tokenizers::models::bpe::{Merges, Vocab};

use super::file::{parse, problem, read};
use crate::error::Result;

/// File of tokens and ids.
pub(crate) const VOCABULARY: &str = "vocab.json";
/// File of merges.
pub(crate) const MERGES: &str = "merges.txt";
/// Beginning of the first line of [`MERGES`].
const VERSION: &str = "#version";

/// Tokens with their ids, and the merges in order of rank.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// File from which the tokens were read.
    pub(crate) path: PathBuf,
    pub(crate) ids: Vocab,
    pub(crate) merges: Merges,
}

impl Vocabulary {
    /// Returns whether both files are in a folder.
    pub(crate) fn is_in_folder(folder: &Path) -> bool {
        folder.join(VOCABULARY).exists() && folder.join(MERGES).exists()
    }

    /// Reads both files of a folder.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self> {
        let (path, merges) = (folder.join(VOCABULARY), folder.join(MERGES));
        let ids = parse(&path)?;
        let bytes = read(&merges)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| problem(&merges, "is not UTF-8; copy the model's own".into()))?;
        let first = usize::from(text.starts_with(VERSION));
        let mut pairs = Vec::new();
        for (number, line) in text.lines().enumerate().skip(first) {
            if line.is_empty() {
                continue;
            }
            pairs.push(pair(line).ok_or_else(|| {
                let message = format!("line {} is not a pair of tokens: {line:?}", number + 1);
                problem(&merges, message)
            })?);
        }
        Ok(Self {
            path,
            ids,
            merges: pairs,
        })
    }
}

/// Splits two tokens at the space between them.
pub(crate) fn pair(line: &str) -> Option<(String, String)> {
    let (first, second) = line.trim_end().split_once(' ')?;
    let single = !first.is_empty() && !second.is_empty() && !second.contains(' ');
    single.then(|| (first.to_owned(), second.to_owned()))
}
