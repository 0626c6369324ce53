//! Data sets of your own as JSON Lines files, one JSON object a line, described in
//! `docs/your-data.md`.
//!
//! ```text
//! {"image": "a.jpg", "references": [{"text": "dog"}], "answer": "dog<obj>.", "masks": ["a.png"]}
//! ```
//!
//! Paths are relative to the file's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::dataset::{Dataset, entry, some};
use super::error::{Error, Result};
use super::files;
use super::item::{Item, Reference, Region, Subject, Target, Task};
use super::label_map::Which;
use super::shape::{Pixels, Segmentation, Shape};
use crate::scenes::OBJECT;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: Option<String>,
    image: PathBuf,
    #[serde(default)]
    task: Option<Task>,
    #[serde(default)]
    question: Option<String>,
    references: Vec<LineReference>,
    answer: String,
    #[serde(default)]
    masks: Vec<LineMask>,
    #[serde(default)]
    expressions: Vec<String>,
}

/// Reference of a line: exactly one of `text`, `box` without `image`, `image` and `audio`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LineReference {
    text: Option<String>,
    #[serde(rename = "box")]
    corners: Option<[f64; 4]>,
    image: Option<PathBuf>,
    mask: Option<LineMask>,
    audio: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "a mask is a path, a list of polygons, or {\"size\": [height, width], \"counts\": ...}"
)]
enum LineMask {
    Path(PathBuf),
    Coco(Segmentation),
}

/// Items of a JSON Lines file.
#[derive(Debug)]
pub struct Jsonl {
    name: String,
    path: PathBuf,
    folder: PathBuf,
    /// Lines with their numbers, from 1.
    lines: Vec<(usize, Line)>,
}

impl Jsonl {
    /// Opens a file without opening its pictures; [`problems`](Self::problems) checks them.
    ///
    /// # Errors
    /// [`Error::Line`] for the first line that is invalid by itself.
    pub fn open(path: &Path) -> Result<Self> {
        let text = files::text(path)?;
        let (mut lines, mut ids) = (Vec::new(), BTreeMap::new());
        for (number, line) in numbered(&text) {
            let line = read(path, number, line)?;
            known_once(path, number, &line, &mut ids)?;
            lines.push((number, line));
        }
        let data = Self::new(path, lines);
        some(&data.name, &data.lines)?;
        Ok(data)
    }

    /// Checks every line of a file: its form, pictures, sounds and masks. Returns the number of
    /// valid lines and all problems.
    ///
    /// # Errors
    /// When the file itself cannot be read.
    pub fn problems(path: &Path) -> Result<(usize, Vec<Error>)> {
        let text = files::text(path)?;
        let empty = Self::new(path, Vec::new());
        let (mut good, mut problems) = (0, Vec::new());
        let mut ids = BTreeMap::new();
        for (number, line) in numbered(&text) {
            let line = read(path, number, line).and_then(|line| {
                known_once(path, number, &line, &mut ids)?;
                examine(&empty, number, &line)
            });
            match line {
                Ok(()) => good += 1,
                Err(error) => problems.push(error),
            }
        }
        Ok((good, problems))
    }

    fn new(path: &Path, lines: Vec<(usize, Line)>) -> Self {
        Self {
            name: path.display().to_string(),
            path: path.to_owned(),
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            lines,
        }
    }

    fn wrong(&self, line: usize, reason: impl ToString) -> Error {
        Error::Line {
            path: self.path.clone(),
            line,
            reason: reason.to_string(),
        }
    }

    fn shape(&self, mask: &LineMask) -> Shape {
        match mask {
            LineMask::Coco(segmentation) => Shape::coco(segmentation.clone()),
            LineMask::Path(path) => Shape::Pixels(Pixels {
                path: self.folder.join(path),
                which: Which::NotZero,
            }),
        }
    }

    fn reference(&self, reference: &LineReference) -> Result<Reference> {
        let reference = reference.clone();
        Ok(match reference {
            LineReference {
                text: Some(text), ..
            } => Reference::Text(text),
            LineReference {
                audio: Some(path), ..
            } => Reference::Audio(self.folder.join(path)),
            LineReference {
                image: Some(path),
                corners,
                mask,
                ..
            } => {
                let path = self.folder.join(path);
                let size = files::picture_size(&path)?;
                let whole = [0.0, 0.0, f64::from(size[0]), f64::from(size[1])];
                let region = (corners.is_some() || mask.is_some()).then(|| Region {
                    area: corners.unwrap_or(whole),
                    mask: mask.map(|mask| self.shape(&mask)),
                });
                Reference::Image {
                    path,
                    size: Some(size),
                    region,
                }
            }
            LineReference { corners, .. } => Reference::Box(corners.unwrap_or_default()),
        })
    }

    fn build(&self, number: usize, line: &Line) -> Result<Item> {
        let image = self.folder.join(&line.image);
        let size = files::picture_size(&image)?;
        let references = line.references.iter().map(|r| self.reference(r));
        let references = references.collect::<Result<Vec<_>>>()?;
        let task = line.task.unwrap_or(match references.first() {
            Some(Reference::Box(_)) => Task::Describe,
            Some(Reference::Image { .. }) => Task::Image,
            Some(Reference::Audio(_)) => Task::Audio,
            _ => Task::Text,
        });
        let mut item = Item::new(id(number, line), image, size, task);
        item.references = references;
        let mut phrases = line.answer.split(OBJECT);
        for mask in &line.masks {
            let phrase = phrases.next().unwrap_or_default();
            item.targets.push(Target {
                phrase: phrase.trim_matches([' ', ',', '.']).to_owned(),
                shape: self.shape(mask),
            });
        }
        item.expressions.clone_from(&line.expressions);
        if task == Task::Describe && item.expressions.is_empty() {
            let words = line.answer.replace(OBJECT, "");
            let words = words.trim_end_matches('.').trim();
            item.expressions.push(words.to_owned());
        }
        item.question.clone_from(&line.question);
        item.answer = Some(line.answer.clone());
        Ok(item)
    }
}

impl Dataset for Jsonl {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.lines.len()
    }

    fn item(&self, index: usize, _draw: u64) -> Result<Item> {
        let (number, line) = entry(&self.name, &self.lines, index)?;
        let item = self.build(*number, line);
        item.map_err(|e| e.of_item(&self.name, format!("in line {number}")))
    }

    fn subject(&self, index: usize) -> Result<Subject> {
        let (_, line) = entry(&self.name, &self.lines, index)?;
        Ok(Subject {
            image: self.folder.join(&line.image),
            thing: index,
        })
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        for (_, line) in &self.lines {
            let references = line.references.iter();
            let masks = references.clone().filter_map(|r| r.mask.as_ref());
            paths.insert(&line.image);
            paths.extend(references.filter_map(|r| r.image.as_ref().or(r.audio.as_ref())));
            paths.extend(
                line.masks
                    .iter()
                    .chain(masks)
                    .filter_map(|mask| match mask {
                        LineMask::Path(path) => Some(path),
                        LineMask::Coco(_) => None,
                    }),
            );
        }
        paths
            .into_iter()
            .map(|path| self.folder.join(path))
            .collect()
    }
}

/// Identifier of a line.
fn id(number: usize, line: &Line) -> String {
    line.id.clone().unwrap_or_else(|| number.to_string())
}

/// Refuses a line whose identifier an earlier line has.
fn known_once(
    path: &Path,
    number: usize,
    line: &Line,
    ids: &mut BTreeMap<String, usize>,
) -> Result<()> {
    let id = id(number, line);
    match ids.insert(id.clone(), number) {
        None => Ok(()),
        Some(first) => Err(Error::Line {
            path: path.to_owned(),
            line: number,
            reason: format!("`id` {id:?} is that of line {first} too; give each its own"),
        }),
    }
}

/// Opens and checks the files of a line.
fn examine(data: &Jsonl, number: usize, line: &Line) -> Result<()> {
    let at = |error: Error| data.wrong(number, error);
    let item = data.build(number, line).map_err(at)?;
    for reference in &item.references {
        match reference {
            Reference::Text(_) => {}
            Reference::Box(corners) => inside(*corners, item.size).map_err(at)?,
            Reference::Image { size, region, .. } => {
                if let (Some(size), Some(region)) = (size, region) {
                    inside(region.area, *size).map_err(at)?;
                    if let Some(mask) = &region.mask {
                        mask.rasterise(*size).map_err(at)?;
                    }
                }
            }
            Reference::Audio(path) => {
                anyref_audio::Waveform::open(path)
                    .map_err(|e| at(Error::Options(e.to_string())))?;
            }
        }
    }
    for (index, target) in item.targets.iter().enumerate() {
        let mask = target.shape.rasterise(item.size).map_err(at)?;
        if mask.area() == 0 {
            let reason = format!("mask {} is empty; leave its `<obj>` out", index + 1);
            return Err(at(Error::Options(reason)));
        }
    }
    Ok(())
}

/// Lines that are not blank, by number from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .map(|(i, line)| (i + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// Parses one line and checks everything that needs no other file.
fn read(path: &Path, number: usize, text: &str) -> Result<Line> {
    let wrong = |reason: String| Error::Line {
        path: path.to_owned(),
        line: number,
        reason,
    };
    let line: Line = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
    for (index, reference) in line.references.iter().enumerate() {
        check_reference(reference)
            .map_err(|reason| wrong(format!("reference {}: {reason}", index + 1)))?;
    }
    if line.references.is_empty() && line.question.is_none() {
        return Err(wrong(
            "`references` is empty; name something, or give a `question`".into(),
        ));
    }
    if line.references.len() > 1 && line.question.is_none() {
        return Err(wrong(
            "several references need a `question` with {1}, {2}, ...".into(),
        ));
    }
    let objects = line.answer.matches(OBJECT).count();
    if objects != line.masks.len() {
        let masks = line.masks.len();
        let reason = format!("the answer has {objects} {OBJECT} for {masks} masks; give one each");
        return Err(wrong(reason));
    }
    if let Some(question) = &line.question {
        let count = line.references.len();
        let textual = line.references.iter().map(|r| r.text.is_some());
        for (index, textual) in textual.enumerate() {
            let place = format!("{{{}}}", index + 1);
            if !textual && !question.contains(&place) {
                return Err(wrong(format!(
                    "the question has no {place} for its reference"
                )));
            }
        }
        let place = format!("{{{}}}", count + 1);
        if question.contains(&place) {
            let reason = format!("the question has {place}, but there are {count} references");
            return Err(wrong(reason));
        }
    }
    Ok(line)
}

fn check_reference(reference: &LineReference) -> Result<(), &'static str> {
    let LineReference {
        text,
        corners,
        image,
        mask,
        audio,
    } = reference;
    let kinds = [text.is_some(), image.is_some(), audio.is_some()];
    let alone = corners.is_some() && image.is_none();
    match kinds.into_iter().filter(|&kind| kind).count() + usize::from(alone) {
        0 => Err("give one of `text`, `box`, `image` and `audio`"),
        1 if mask.is_some() && image.is_none() => Err("a `mask` belongs to an `image`"),
        1 => match corners {
            Some([x0, y0, x1, y1]) if !(x0 < x1 && y0 < y1) => {
                Err("a `box` is [x0, y0, x1, y1] in pixels with x0 < x1 and y0 < y1")
            }
            _ => Ok(()),
        },
        _ => Err("give only one of `text`, `box`, `image` and `audio`"),
    }
}

fn inside([x0, y0, x1, y1]: [f64; 4], [width, height]: [u32; 2]) -> Result<()> {
    let fits = x0 >= 0.0 && y0 >= 0.0 && x1 <= f64::from(width) && y1 <= f64::from(height);
    match fits {
        true => Ok(()),
        false => Err(Error::Options(format!(
            "the box {x0}, {y0}, {x1}, {y1} leaves its picture of {width}x{height}"
        ))),
    }
}
