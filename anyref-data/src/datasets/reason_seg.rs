//! ReasonSeg: questions that need reasoning before segmentation.
//!
//! ```text
//! ROOT/train/NAME.jpg, NAME.json            pictures, questions and polygons; also val and test
//! ROOT/explanatory/train.json               answers in words, optional
//! ```
//!
//! A text is a phrase, asked for like any other, or a sentence, which stands before its question.
//!
//! Polygons are filled as COCO's are. The data set's own tool draws them with OpenCV, which also
//! covers the pixels touched by the outline.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyref_core::QuestionForm;
use serde::Deserialize;

use super::dataset::{Dataset, entry, some};
use super::error::{Error, Result};
use super::files;
use super::item::{Item, Reference, Subject, Target, Task};
use super::shape::{Segmentation, Shape};

#[derive(Deserialize)]
struct Document {
    shapes: Vec<Polygon>,
    text: Texts,
    is_sentence: bool,
}

#[derive(Deserialize)]
struct Polygon {
    label: String,
    points: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Explanation {
    image: String,
    outputs: String,
}

#[derive(Debug)]
struct Entry {
    id: String,
    image: PathBuf,
    text: String,
    sentence: bool,
    /// Polygons, and whether each is a target; the others are ignored regions that hide the
    /// polygons beneath.
    layers: Vec<(Shape, bool)>,
}

/// One question for each text of each picture.
#[derive(Debug)]
pub struct ReasonSeg {
    name: String,
    entries: Vec<Entry>,
    explanations: HashMap<String, String>,
}

impl ReasonSeg {
    /// Opens `train`, `val` or `test`.
    ///
    /// # Errors
    /// When the annotations cannot be read.
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        let mut entries = Vec::new();
        for path in files::listed(&root.join(split), "json")? {
            let document = read(&path)?;
            let mut layers = Vec::new();
            for Polygon { label, points } in document.shapes {
                let label = label.to_lowercase();
                // `flag` is a deprecated label.
                if label == "flag" || points.len() < 3 {
                    continue;
                }
                let points = points.into_iter().flatten().collect();
                let shape = Shape::coco(Segmentation::Polygons(vec![points]));
                layers.push((shape, !label.contains("ignore")));
            }
            let texts = match document.text {
                Texts::One(text) => vec![text],
                Texts::Many(texts) => texts,
            };
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            entries.extend(texts.into_iter().enumerate().map(|(i, text)| Entry {
                id: format!("{stem}/{i}"),
                image: path.with_extension("jpg"),
                text,
                sentence: document.is_sentence,
                layers: layers.clone(),
            }));
        }
        let name = format!("ReasonSeg {split}");
        some(&name, &entries)?;
        let explanatory = root.join("explanatory/train.json");
        let explanations: Vec<Explanation> = match explanatory.is_file() {
            true => files::json(&explanatory)?,
            false => Vec::new(),
        };
        let explanations = explanations.into_iter();
        Ok(Self {
            name,
            entries,
            explanations: explanations.map(|e| (e.image, e.outputs)).collect(),
        })
    }

    /// Answer in words to an item, when the data set has one.
    pub fn explanation(&self, item: &Item) -> Option<&str> {
        let name = item.image.file_name()?.to_str()?;
        self.explanations.get(name).map(String::as_str)
    }
}

impl Dataset for ReasonSeg {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn item(&self, index: usize, _draw: u64) -> Result<Item> {
        let line = entry(&self.name, &self.entries, index)?;
        let size = files::picture_size(&line.image)?;
        let mut item = Item::new(&line.id, line.image.clone(), size, Task::Text);
        item.references.push(Reference::Text(line.text.clone()));
        item.question = line
            .sentence
            .then(|| QuestionForm::AnyRef.sentence().to_owned());
        // Smaller polygons lie on top of larger ones.
        let mut layers = Vec::with_capacity(line.layers.len());
        for (shape, wanted) in &line.layers {
            layers.push((shape.area(size)?, shape.clone(), *wanted));
        }
        layers.reverse();
        layers.sort_by(|a, b| b.0.total_cmp(&a.0));
        let layers: Vec<_> = layers
            .into_iter()
            .map(|(_, shape, wanted)| (shape, wanted))
            .collect();
        if layers.iter().any(|(_, wanted)| !wanted) {
            let open = layers
                .iter()
                .map(|(shape, wanted)| (shape.clone(), !wanted));
            item.ignore = Some(Shape::Layers(open.collect()));
        }
        item.targets.push(Target {
            // Questions do not name the target.
            phrase: match line.sentence {
                true => String::new(),
                false => line.text.clone(),
            },
            shape: Shape::Layers(layers),
        });
        Ok(item)
    }

    fn subject(&self, index: usize) -> Result<Subject> {
        let line = entry(&self.name, &self.entries, index)?;
        Ok(Subject {
            image: line.image.clone(),
            thing: index,
        })
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.entries.iter().map(|line| line.image.clone()).collect()
    }
}

/// Reads a document; some files are in Windows-1252 instead of UTF-8.
fn read(path: &Path) -> Result<Document> {
    let bytes = files::bytes(path)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error
            .as_bytes()
            .iter()
            .map(|&byte| windows_1252(byte))
            .collect(),
    };
    serde_json::from_str(&text).map_err(|e| Error::format(path, e))
}

/// Decodes a byte of Windows-1252: Latin-1 but for 0x80 to 0x9f.
fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}
