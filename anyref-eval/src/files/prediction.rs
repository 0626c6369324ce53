//! Predictions of a system.

use std::path::{Path, PathBuf};

use anyref_decoder::rle::Rle;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Error, Fault, Result};
use super::lines::{self, Id};
use super::target::Targets;

/// Mask with the system's own estimate of its quality.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoredMask {
    /// Run lengths of the mask.
    #[serde(flatten)]
    pub rle: Rle,
    /// Estimated quality, such as a predicted IoU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
}

/// Answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Identifier of the target.
    pub id: String,
    /// Words of the answer.
    pub text: String,
    /// Masks of the answer.
    pub masks: Vec<ScoredMask>,
    /// Whether the answer states that there is no target; if `None`, an answer without any pixel
    /// does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_target: Option<bool>,
    /// Path of the picture of probabilities, relative to the working directory or absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft: Option<PathBuf>,
    /// Reason why the question was refused, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Line number in the file, from 1.
    #[serde(skip)]
    pub line: usize,
}

impl Prediction {
    /// Run lengths of the masks.
    pub fn rles(&self) -> Vec<Rle> {
        self.masks.iter().map(|mask| mask.rle.clone()).collect()
    }

    /// Returns whether the answer states that there is no target.
    pub fn says_none(&self) -> bool {
        let empty = || self.masks.iter().all(|mask| mask.rle.area() == 0);
        self.no_target.unwrap_or_else(empty)
    }
}

/// Reads the predictions for all targets, in the order of the targets. Each target has exactly one.
///
/// # Errors
/// When the file cannot be read or holds only blank lines, a line is not of the expected form, its
/// identifier is unknown or repeated, or one of its masks cannot be read or has another size than
/// the picture. When a target has no prediction.
pub fn read_predictions(path: &Path, targets: &Targets) -> Result<Vec<Prediction>> {
    let mut found: Vec<Option<Prediction>> = vec![None; targets.rows().len()];
    lines::read(path, |line, row: Row| {
        let id = String::from(row.id);
        let Some(position) = targets.position(&id) else {
            return Err(Fault::Unknown {
                id,
                targets: targets.path().to_owned(),
            });
        };
        if let Some(first) = &found[position] {
            return Err(Fault::Duplicate {
                id,
                first: first.line,
            });
        }
        let size = targets.rows()[position].size;
        let mask = |(value, number): (&Value, usize)| {
            Ok(ScoredMask {
                rle: lines::mask(value, &id, number, size)?,
                score: value
                    .get("score")
                    .and_then(Value::as_f64)
                    .map(|score| score as f32),
            })
        };
        let masks = row
            .masks
            .iter()
            .zip(1..)
            .map(mask)
            .collect::<Result<_, Fault>>()?;
        found[position] = Some(Prediction {
            masks,
            id,
            text: row.text,
            no_target: row.no_target,
            soft: row
                .soft
                .map(|soft| path.parent().unwrap_or(Path::new("")).join(soft)),
            refused: row.refused,
            line,
        });
        Ok(())
    })?;
    let missing = found
        .iter()
        .zip(targets.rows())
        .filter(|(p, _)| p.is_none());
    let (count, first) = missing.fold((0, None), |(n, first), (_, t)| (n + 1, first.or(Some(t))));
    match first {
        Some(target) => Err(Error::Missing {
            path: path.to_owned(),
            count,
            id: target.id.clone(),
            targets: targets.path().to_owned(),
            line: target.line,
        }),
        None => Ok(found.into_iter().flatten().collect()),
    }
}

#[derive(Deserialize)]
struct Row {
    id: Id,
    #[serde(default)]
    text: String,
    #[serde(default)]
    masks: Vec<Value>,
    no_target: Option<bool>,
    soft: Option<PathBuf>,
    refused: Option<String>,
}
