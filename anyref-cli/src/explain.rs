//! Attention of an `<obj>`, as pictures and numbers.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use anyref_core::{Explanation, Mask, Reference};
use anyref_eval::files::ScoredMask;
use image::imageops::{self, FilterType};
use image::{Luma, Rgb, RgbImage};
use serde::Serialize;

use crate::args::OutputArguments;
use crate::output::{cannot_write, located, numbered, write_picture};
use crate::overlay::{Overlay, contact_sheet};

/// Largest opacity of the heat map over the picture.
const HEAT: f32 = 0.75;
/// Number of words named below a picture.
const NAMED: usize = 6;
/// File name of the numbers.
const NUMBERS: &str = "explain.json";

/// Numbers of one `<obj>`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    /// Share of the attention on the picture; all shares sum to 1.
    picture: f32,
    words: Vec<WordDocument<'a>>,
    references: &'a [f32],
    /// Share of each patch, row by row.
    patches: Vec<&'a [f32]>,
    before: ScoredMask,
    after: ScoredMask,
}

#[derive(Debug, Serialize)]
struct WordDocument<'a> {
    text: &'a str,
    attention: f32,
    refocus: f32,
}

/// Refuses a folder in which [`write()`] could replace an input, a mask or the overlay.
pub fn check_apart(folder: &Path, inputs: &[&Path], output: &OutputArguments) -> Result<()> {
    if let Some(input) = inputs.iter().find(|input| replaces(folder, input)) {
        bail!(
            "cannot write explanations to {}: {}, which is read for the question, could be replaced, give another folder",
            folder.display(),
            input.display()
        );
    }
    let mask = output.mask.as_deref();
    let mask = mask.filter(|mask| replaces(folder, mask) || replaces(folder, &numbered(mask, 1)));
    let overlay = output.overlay.as_deref();
    match mask.or(overlay.filter(|overlay| replaces(folder, overlay))) {
        Some(other) => bail!(
            "cannot write explanations to {} and {}: one could replace the other, give another name",
            folder.display(),
            other.display()
        ),
        None => Ok(()),
    }
}

/// Returns whether [`write()`] could overwrite this file.
fn replaces(folder: &Path, file: &Path) -> bool {
    let file = located(file);
    let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let number = name
        .strip_prefix("object_")
        .and_then(|rest| rest.strip_suffix(".png"));
    let is_picture = number.is_some_and(|number| number.parse::<usize>().is_ok());
    (is_picture || name == NUMBERS) && file.parent() == Some(located(folder).as_path())
}

/// Writes `explain.json` and `object_1.png`, `object_2.png` … into a folder. Returns the paths of
/// the pictures.
pub fn write(
    folder: &Path,
    image: &RgbImage,
    references: &[Reference],
    explanations: &[Explanation],
) -> Result<Vec<PathBuf>> {
    let documents: Vec<_> = explanations.iter().map(Document::new).collect();
    let file = folder.join(NUMBERS);
    fs::write(&file, serde_json::to_string_pretty(&documents)? + "\n")
        .with_context(|| cannot_write(&file))?;
    explanations
        .iter()
        .enumerate()
        .map(|(index, explanation)| {
            let path = folder.join(format!("object_{}.png", index + 1));
            write_picture(&sheet(image, references, explanation), &path)?;
            Ok(path)
        })
        .collect()
}

/// Sheet with the attention, the mask without refocusing, and the mask with it.
fn sheet(image: &RgbImage, references: &[Reference], explanation: &Explanation) -> RgbImage {
    let looked = Overlay {
        masks: &[],
        references,
        points: &[],
        question: "where <obj> looked",
        answer: &shares(explanation),
    };
    let mask = |mask: &Mask, question, answer: &str| {
        let overlay = Overlay {
            masks: std::slice::from_ref(mask),
            references: &[],
            points: &[],
            question,
            answer,
        };
        overlay.draw(image)
    };
    let before = format!("score {:.2}", explanation.before.score);
    let after = format!(
        "score {:.2}; words that were added: {}",
        explanation.after.score,
        words(explanation, |word| word.refocus)
    );
    contact_sheet(&[vec![
        looked.draw(&heated(image, explanation)),
        mask(&explanation.before, "without refocusing", &before),
        mask(&explanation.after, "with refocusing", &after),
    ]])
}

/// Attention by kind, and the words with the largest shares.
fn shares(explanation: &Explanation) -> String {
    let percent = |share: f32| format!("{:.0} %", 100.0 * share);
    let references: f32 = explanation.references.iter().sum();
    let mut text = format!("picture {}", percent(explanation.picture()));
    if !explanation.references.is_empty() {
        text += &format!(", references {}", percent(references));
    }
    text + &format!("; words: {}", words(explanation, |word| word.attention))
}

/// Words with the largest values of `of`, in their order.
fn words(explanation: &Explanation, of: impl Fn(&anyref_core::Word) -> f32) -> String {
    let mut order: Vec<usize> = (0..explanation.words.len())
        .filter(|&index| !explanation.words[index].text.trim().is_empty())
        .collect();
    order.sort_by(|&a, &b| of(&explanation.words[b]).total_cmp(&of(&explanation.words[a])));
    order.truncate(NAMED);
    order.sort_unstable();
    let named = order
        .into_iter()
        .map(|index| &explanation.words[index])
        .filter(|word| of(word) >= 0.005)
        .map(|word| format!("{} {:.0} %", word.text.trim(), 100.0 * of(word)));
    named.collect::<Vec<_>>().join(", ")
}

/// Picture in grey, with the patches' shares in colours from red to yellow.
fn heated(image: &RgbImage, explanation: &Explanation) -> RgbImage {
    let side = explanation.side as u32;
    let most = explanation
        .patches
        .iter()
        .fold(0.0, |most: f32, &share| most.max(share));
    let least = explanation
        .patches
        .iter()
        .fold(most, |least, &share| least.min(share));
    let range = (most - least).max(f32::MIN_POSITIVE);
    let map = image::ImageBuffer::from_fn(side, side, |x, y| {
        Luma([(explanation.patches[(y * side + x) as usize] - least) / range])
    });
    let (width, height) = image.dimensions();
    let map = imageops::resize(&map, width, height, FilterType::CatmullRom);
    RgbImage::from_fn(width, height, |x, y| {
        let Rgb([r, g, b]) = *image.get_pixel(x, y);
        let grey = 0.3 * f32::from(r) + 0.59 * f32::from(g) + 0.11 * f32::from(b);
        let heat = map.get_pixel(x, y)[0].clamp(0.0, 1.0);
        let tint = [255.0, 255.0 * heat * heat, 0.0];
        let share = HEAT * heat;
        Rgb(tint.map(|value| (grey * (1.0 - share) + value * share) as u8))
    })
}

impl<'a> Document<'a> {
    fn new(explanation: &'a Explanation) -> Self {
        let words = explanation.words.iter().map(|word| WordDocument {
            text: &word.text,
            attention: word.attention,
            refocus: word.refocus,
        });
        Self {
            picture: explanation.picture(),
            words: words.collect(),
            references: &explanation.references,
            patches: explanation
                .patches
                .chunks(explanation.side.max(1))
                .collect(),
            before: scored(&explanation.before),
            after: scored(&explanation.after),
        }
    }
}

fn scored(mask: &Mask) -> ScoredMask {
    ScoredMask {
        rle: mask.rle.clone(),
        score: Some(mask.score),
    }
}
