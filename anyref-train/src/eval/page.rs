//! The best, the middling and the worst answers of a benchmark, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use anyref_vision::preprocess::open_image;
use image::RgbImage;
use image::imageops::{self, FilterType};

use super::files::{Prediction, Target, Targets, read_predictions};
use super::metrics::{Overlap, united};
use super::picture::{contact_sheet, tinted};

/// Answers shown of each sort.
const SHOWN: usize = 12;
/// Pictures in a row.
const COLUMNS: u32 = 4;
/// Long side of a picture on the page.
const SIDE: u32 = 320;

/// An answer and its IoU.
struct Shown<'a> {
    iou: f64,
    target: &'a Target,
    answer: &'a Prediction,
}

/// Writes `cases.md` with `best.png`, `median.png` and `worst.png` into `out`, by the IoU of all masks of an answer
/// with all of the truth: green is what was missed, red what was wrong, yellow what was right. Returns the page.
///
/// # Errors
/// When targets or predictions cannot be read, a picture of theirs is gone, or the folder cannot be written.
pub fn write_page(targets: &Path, predictions: &Path, out: &Path) -> Result<PathBuf> {
    let targets = Targets::open(targets)?;
    let answers = read_predictions(predictions, &targets)?;
    let mut shown = Vec::with_capacity(answers.len());
    for (target, answer) in targets.rows().iter().zip(&answers) {
        let predicted = united(&answer.rles(), target.size)?;
        let truth = united(&target.masks, target.size)?;
        let overlap = Overlap::of(&predicted, &truth, target.ignore.as_ref())?;
        let iou = match overlap.union() {
            0 => 1.0,
            union => overlap.intersection as f64 / union as f64,
        };
        shown.push(Shown {
            iou,
            target,
            answer,
        });
    }
    shown.sort_by(|a, b| b.iou.total_cmp(&a.iou));
    let count = shown.len().min(SHOWN);
    let middle = (shown.len() - count) / 2;
    let worst: Vec<&Shown> = shown.iter().rev().take(count).collect();
    let mut page = String::new();
    for (name, cases) in [
        ("best", shown.iter().take(count).collect()),
        ("median", shown[middle..middle + count].iter().collect()),
        ("worst", worst),
    ] {
        page += &section(name, &cases, out)?;
    }
    let file = out.join("cases.md");
    fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// A picture of some answers, and their words.
fn section(name: &str, cases: &[&Shown<'_>], out: &Path) -> Result<String> {
    let pictures = cases.iter().map(|case| picture(case));
    let pictures = pictures.collect::<Result<Vec<_>>>()?;
    let file = out.join(format!("{name}.png"));
    contact_sheet(&pictures, COLUMNS)
        .save(&file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut text = format!(
        "## {name}\n\n![{name}]({name}.png)\n\n| id | IoU | answer |\n| --- | --- | --- |\n"
    );
    for Shown {
        iou,
        target,
        answer,
    } in cases
    {
        let words = answer.text.replace('|', "\\|").replace('\n', " ");
        text += &format!("| {} | {iou:.3} | {words} |\n", target.id);
    }
    Ok(text + "\n")
}

fn picture(case: &Shown<'_>) -> Result<RgbImage> {
    let Shown { target, answer, .. } = case;
    let path = target.image.as_ref();
    let path = path.with_context(|| format!("target {} names no picture", target.id))?;
    let predicted = united(&answer.rles(), target.size)?;
    let truth = united(&target.masks, target.size)?;
    let picture = tinted(open_image(Path::new(path))?, &truth, &predicted);
    let (width, height) = picture.dimensions();
    let scale = f64::from(SIDE) / f64::from(width.max(height));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    Ok(imageops::resize(
        &picture,
        side(width),
        side(height),
        FilterType::Triangle,
    ))
}
