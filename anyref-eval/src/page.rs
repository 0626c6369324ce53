//! Page of the best, median and worst answers: reference, prediction and truth side by side.

use std::io::Cursor;
use std::path::Path;

use anyref_decoder::rle::Rle;
use anyref_weights::write_atomic;
use image::imageops::{self, FilterType};
use image::{ImageFormat, RgbImage};

use super::error::{Error, Result};
use super::picture::{boxed, contact_sheet, tinted};

/// Answers shown of each group.
const SHOWN: usize = 12;
/// Answers in a row of pictures.
const COLUMNS: u32 = 2;
/// Long side of a picture on the page, in pixels.
const SIDE: u32 = 220;

/// Row of a page: an answer in words.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Quality of the answer, 0 to 1.
    pub(super) quality: f64,
    /// Name of the question.
    pub(super) id: String,
    /// References of the question in words.
    pub(super) reference: String,
    /// Words of the answer.
    pub(super) answer: String,
    /// Words of the ground truth.
    pub(super) expected: String,
}

/// Pictures of an answer.
#[derive(Debug)]
pub(super) struct Drawn {
    /// Picture asked about.
    pub(super) picture: RgbImage,
    /// Reference picture, if the question has one.
    pub(super) example: Option<RgbImage>,
    /// Reference boxes `[x0, y0, x1, y1]` in pixels.
    pub(super) boxes: Vec<[f64; 4]>,
    /// Union of the answer's masks.
    pub(super) predicted: Rle,
    /// Union of the true masks.
    pub(super) truth: Rle,
}

impl Drawn {
    /// Reference, prediction and truth, side by side.
    fn panels(self) -> RgbImage {
        let reference = match self.example {
            Some(example) => example,
            None => boxed(self.picture.clone(), &self.boxes),
        };
        let predicted = tinted(self.picture.clone(), None, Some(&self.predicted));
        let truth = tinted(self.picture, Some(&self.truth), None);
        contact_sheet(&[reference, predicted, truth].map(small), 3)
    }
}

/// Pictures and a table of the best, median and worst answers, as Markdown; pictures are written to
/// `out/PREFIXbest.png` and so on. `draw` takes an index of `rows`.
///
/// # Errors
/// When a picture cannot be drawn or written.
pub(super) fn page(
    rows: &[Row],
    measure: &str,
    out: &Path,
    prefix: &str,
    draw: impl Fn(usize) -> Result<Drawn>,
) -> Result<String> {
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_by(|a, b| rows[*b].quality.total_cmp(&rows[*a].quality));
    let count = places.len().min(SHOWN);
    let middle = (places.len() - count) / 2;
    let worst: Vec<usize> = places.iter().rev().take(count).copied().collect();
    let sorts = [
        ("best", &places[..count]),
        ("median", &places[middle..middle + count]),
        ("worst", &worst),
    ];
    let mut text = String::new();
    for (sort, places) in sorts {
        let pictures = places.iter().map(|&place| Ok(draw(place)?.panels()));
        let pictures = pictures.collect::<Result<Vec<_>>>()?;
        let name = format!("{prefix}{sort}");
        let file = out.join(format!("{name}.png"));
        let mut png = Cursor::new(Vec::new());
        if let Err(source) = contact_sheet(&pictures, COLUMNS).write_to(&mut png, ImageFormat::Png)
        {
            return Err(Error::WritePicture { path: file, source });
        }
        write_atomic(&file, png.into_inner())?;
        text += &format!(
            "## {name}\n\n![{name}]({name}.png)\n\n\
             | id | {measure} | reference | answer | expected |\n| --- | --- | --- | --- | --- |\n"
        );
        for one in places.iter().map(|&place| &rows[place]) {
            let [id, reference, answer, expected] =
                [&one.id, &one.reference, &one.answer, &one.expected].map(|text| cell(text));
            text += &format!(
                "| {id} | {:.3} | {reference} | {answer} | {expected} |\n",
                one.quality
            );
        }
        text += "\n";
    }
    Ok(text)
}

/// Legend of the pictures.
pub(super) const LEGEND: &str = "Of each answer, from left to right: what was referred with (the picture shown, or the \
    picture asked about with the box), the answer's masks in red, the true ones in green.\n\n";

/// Writes `cases.md`.
pub(super) fn write(out: &Path, text: &str) -> Result<std::path::PathBuf> {
    let file = out.join("cases.md");
    write_atomic(&file, text)?;
    Ok(file)
}

/// Text escaped for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn small(picture: RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = f64::from(SIDE) / f64::from(width.max(height).max(1));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let small = imageops::resize(&picture, side(width), side(height), FilterType::Triangle);
    // Cells of equal size keep the three panels together.
    let mut cell = RgbImage::from_pixel(SIDE, SIDE, image::Rgb([255; 3]));
    let (x, y) = ((SIDE - small.width()) / 2, (SIDE - small.height()) / 2);
    imageops::replace(&mut cell, &small, i64::from(x), i64::from(y));
    cell
}
