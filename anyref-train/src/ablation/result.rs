//! Scores of one run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{AblationError, Result};
use crate::file_error::FileError;
use anyref_eval::{EvalKind, Scores};
use anyref_weights::write_atomic;

/// Scores of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Name of the variant.
    pub variant: String,
    /// Seed of the run.
    pub seed: u64,
    /// Scores by kind.
    pub kinds: BTreeMap<EvalKind, KindResult>,
}

/// Scores of one kind of questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindResult {
    /// Number of questions.
    pub n: usize,
    /// Scores by name.
    #[serde(flatten)]
    pub scores: BTreeMap<String, f64>,
}

impl RunResult {
    /// Collects the scores of a run.
    pub fn new(variant: &str, seed: u64, scores: &[Scores]) -> Self {
        let kinds = scores.iter().map(|row| {
            let values = row.scores.iter();
            let values = values.filter_map(|score| Some((score.name.clone(), score.value?)));
            let result = KindResult {
                n: row.cases,
                scores: values.collect(),
            };
            (row.kind, result)
        });
        Self {
            variant: variant.to_owned(),
            seed,
            kinds: kinds.collect(),
        }
    }

    /// Main score of a kind.
    pub fn main_score(&self, kind: EvalKind) -> Option<f64> {
        self.kinds
            .get(&kind)?
            .scores
            .get(kind.main_score())
            .copied()
    }

    /// Reads a result, if it exists.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(path).map_err(FileError::of("read", path))?;
        let result = serde_json::from_str(&text);
        let result = result.map_err(|source| AblationError::Damaged {
            file: path.into(),
            source,
        })?;
        Ok(Some(result))
    }

    /// Writes a result atomically.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        write_atomic(path, serde_json::to_string(self)? + "\n")?;
        Ok(())
    }
}
