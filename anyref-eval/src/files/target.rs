//! Truth that predictions are scored against.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyref_data::datasets::Reference;
use anyref_decoder::rle::Rle;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Error, Fault, Result};
use super::lines::{self, Id};

/// A question's truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// Its name.
    pub id: String,
    /// The picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Height and width of the picture.
    pub size: [usize; 2],
    /// Masks of what is meant; none when nothing is.
    pub masks: Vec<Rle>,
    /// Pixels that do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Rle>,
    /// Names that people gave it.
    pub expressions: Vec<String>,
    /// Its class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The fold of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// The video of which the picture is a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// The question, where it was not the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// References of the question, for pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Line of the file, from 1.
    #[serde(skip)]
    pub line: usize,
}

/// All targets of a benchmark's split, in the file's order.
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
    /// When the file cannot be read or holds nothing but blank lines, a line is not of the expected
    /// form, its id came before, or one of its masks cannot be read or is not of the picture's
    /// size.
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

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The targets.
    pub fn rows(&self) -> &[Target] {
        &self.rows
    }

    /// Place of an id among the [`rows`](Self::rows).
    pub fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// An error at a target's line.
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
        // The ignored pixels count as the mask after the last.
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
