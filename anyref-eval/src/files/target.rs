//! Targets that predictions are scored against.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyref_data::datasets::Reference;
use anyref_decoder::rle::Rle;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Error, Fault, Result};
use super::lines::{self, Id};

/// Ground truth of a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// Identifier of the question.
    pub id: String,
    /// Path of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Height and width of the picture in pixels.
    pub size: [usize; 2],
    /// Ground-truth masks; empty when there is no target.
    pub masks: Vec<Rle>,
    /// Pixels that do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Rle>,
    /// Reference expressions.
    pub expressions: Vec<String>,
    /// Class of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Fold of the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Video that the picture is a frame of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// Question, if not the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// References of the question, for pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Line number in the file, from 1.
    #[serde(skip)]
    pub line: usize,
}

/// Targets of a benchmark's split, in the order of the file.
#[derive(Debug, Clone)]
pub struct Targets {
    path: PathBuf,
    rows: Vec<Target>,
    index: HashMap<String, usize>,
}

impl Targets {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds only blank lines, a line is not of the expected form,
    /// its identifier is repeated, or one of its masks cannot be read or has another size than the
    /// picture.
    pub fn open(path: &Path) -> Result<Self> {
        let (mut rows, mut index) = (Vec::<Target>::new(), HashMap::new());
        lines::read(path, |line, row: Row| {
            let target = row.check(line)?;
            if let Some(first) = index.insert(target.id.clone(), rows.len()) {
                return Err(Fault::Duplicate {
                    id: target.id,
                    first: rows[first].line,
                });
            }
            rows.push(target);
            Ok(())
        })?;
        Ok(Self {
            path: path.to_owned(),
            rows,
            index,
        })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Targets in the order of the file.
    pub fn rows(&self) -> &[Target] {
        &self.rows
    }

    /// Position of an identifier among the [`rows`](Self::rows).
    pub fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Error at the line of a target.
    pub(crate) fn fault(&self, target: &Target, fault: Fault) -> Error {
        Error::Line {
            path: self.path.clone(),
            line: target.line,
            fault: Box::new(fault),
        }
    }
}

#[derive(Deserialize)]
struct Row {
    id: Id,
    image: Option<String>,
    size: [usize; 2],
    #[serde(default)]
    masks: Vec<Value>,
    ignore: Option<Value>,
    #[serde(default)]
    expressions: Vec<String>,
    category: Option<Id>,
    fold: Option<usize>,
    video: Option<Id>,
    question: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

impl Row {
    fn check(self, line: usize) -> Result<Target, Fault> {
        let id = String::from(self.id);
        let numbered = self.masks.iter().zip(1..);
        let masks = numbered.map(|(value, number)| lines::mask(value, &id, number, self.size));
        let masks = masks.collect::<Result<Vec<_>, _>>()?;
        // The mask of ignored pixels is numbered after the last mask.
        let number = masks.len() + 1;
        let ignore = self.ignore.as_ref();
        let ignore = ignore.map(|value| lines::mask(value, &id, number, self.size));
        Ok(Target {
            id,
            image: self.image,
            size: self.size,
            masks,
            ignore: ignore.transpose()?,
            expressions: self.expressions,
            category: self.category.map(String::from),
            fold: self.fold,
            video: self.video.map(String::from),
            question: self.question,
            references: self.references,
            line,
        })
    }
}
