//! Pages about the answers to a published data set: a selection of cases, and the calibration of
//! the mask score.

use std::path::{Path, PathBuf};

use anyref_data::datasets::Reference;
use anyref_vision::preprocess::open_image;
use anyref_weights::write_atomic;
use image::{RgbImage, imageops};

use super::calibration::calibration;
use super::error::{Error, Result};
use super::files::{Prediction, Target, Targets, read_predictions};
use super::metrics::caption::{Programs, caption_samples};
use super::metrics::{Overlap, united};
use super::page::{self, Drawn, LEGEND, Row, page};

/// Writes `cases.md` with `best.png`, `median.png` and `worst.png` into `out`. Answers are sorted
/// by the IoU of their united masks with the united true masks, descriptions by ROUGE-L. If there
/// are masks, `details.md` compares their scores with the true IoU. Returns the path of the page.
///
/// # Errors
/// When targets or predictions cannot be read, a picture of theirs is missing, or the folder cannot
/// be written.
pub fn write_page(
    targets: &Path,
    predictions: &Path,
    describe: bool,
    out: &Path,
) -> Result<PathBuf> {
    let targets = Targets::open(targets)?;
    let answers = read_predictions(predictions, &targets)?;
    let qualities = match describe {
        true => by_words(targets.rows(), &answers)?,
        false => by_masks(targets.rows(), &answers)?,
    };
    if !describe {
        let file = out.join("details.md");
        let text = scores_against(&answers, &qualities);
        write_atomic(&file, text)?;
    }
    let answered = targets.rows().iter().zip(&answers).zip(&qualities);
    let rows: Vec<Row> = answered
        .map(|((target, answer), &quality)| Row {
            quality,
            id: target.id.clone(),
            reference: words(target),
            answer: match &answer.refused {
                Some(reason) => format!("refused: {reason}"),
                None => answer.text.clone(),
            },
            expected: target.expressions.join("; "),
        })
        .collect();
    let measure = if describe { "ROUGE-L" } else { "IoU" };
    let text = page(&rows, measure, out, "", |place| {
        draw(&targets.rows()[place], &answers[place])
    })?;
    page::write(out, &(LEGEND.to_owned() + &text))
}

/// IoU of the united masks.
fn by_masks(targets: &[Target], answers: &[Prediction]) -> Result<Vec<f64>> {
    let iou = |(target, answer): (&Target, &Prediction)| {
        let predicted = united(&answer.rles(), target.size)?;
        let truth = united(&target.masks, target.size)?;
        let overlap = Overlap::of(&predicted, &truth, target.ignore.as_ref())?;
        Ok(match overlap.union() {
            0 => 1.0,
            union => overlap.intersection as f64 / union as f64,
        })
    };
    targets.iter().zip(answers).map(iou).collect()
}

/// ROUGE-L of the words.
fn by_words(targets: &[Target], answers: &[Prediction]) -> Result<Vec<f64>> {
    let pairs = targets.iter().zip(answers);
    let pairs: Vec<_> = pairs
        .map(|(target, answer)| (answer.text.as_str(), target.expressions.as_slice()))
        .map(|(text, expressions)| (text.to_owned(), expressions))
        .collect();
    let samples = caption_samples(&pairs, &Programs::default())?;
    Ok(samples.iter().map(|sample| sample.rouge()).collect())
}

/// Calibration of the mask score, the mean over an answer's masks, against the IoU.
fn scores_against(answers: &[Prediction], ious: &[f64]) -> String {
    let scored = answers.iter().zip(ious).filter_map(|(answer, &iou)| {
        let scores: Option<Vec<f64>> = answer
            .masks
            .iter()
            .map(|mask| mask.score.map(f64::from))
            .collect();
        let scores = scores.filter(|scores| !scores.is_empty())?;
        Some((scores.iter().sum::<f64>() / scores.len() as f64, iou))
    });
    calibration(&scored.collect::<Vec<_>>())
}

/// Question and references in words.
fn words(target: &Target) -> String {
    let given = target.references.iter().map(|given| match given {
        Reference::Text(text) => text.clone(),
        Reference::Box(area) => {
            let [x0, y0, x1, y1] = area.map(|side| side.round() as i64);
            format!("box {x0},{y0},{x1},{y1}")
        }
        Reference::Image { path, .. } => format!("picture {}", name(path)),
        Reference::Audio(path) => format!("sound {}", name(path)),
    });
    let given = given.collect::<Vec<_>>().join(", ");
    match (&target.question, given.is_empty()) {
        (None, _) => given,
        (Some(question), true) => question.clone(),
        (Some(question), false) => format!("{question} ({given})"),
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn draw(target: &Target, answer: &Prediction) -> Result<Drawn> {
    let path = target.image.as_ref();
    let path = path.ok_or_else(|| Error::NoPicture {
        id: target.id.clone(),
    })?;
    let mut example = None;
    let mut boxes = Vec::new();
    for given in &target.references {
        match given {
            Reference::Box(area) => boxes.push(*area),
            Reference::Image { path, region, .. } if example.is_none() => {
                example = Some(part(
                    &open(path)?,
                    region.as_ref().map(|region| region.area),
                ));
            }
            _ => {}
        }
    }
    Ok(Drawn {
        picture: open(Path::new(path))?,
        example,
        boxes,
        predicted: united(&answer.rles(), target.size)?,
        truth: united(&target.masks, target.size)?,
    })
}

fn open(path: &Path) -> Result<RgbImage> {
    Ok(open_image(path).map_err(anyref_core::Error::from)?)
}

/// Crop of the picture to the reference's region.
fn part(picture: &RgbImage, area: Option<[f64; 4]>) -> RgbImage {
    let Some([x0, y0, x1, y1]) = area else {
        return picture.clone();
    };
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let [left, right] = [x0.floor(), x1.ceil()].map(|x| x.clamp(0.0, width) as u32);
    let [top, bottom] = [y0.floor(), y1.ceil()].map(|y| y.clamp(0.0, height) as u32);
    let size = [right.saturating_sub(left), bottom.saturating_sub(top)];
    imageops::crop_imm(picture, left, top, size[0].max(1), size[1].max(1)).to_image()
}
