//! Output of answers on the terminal, as JSON and as files.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use anyref_core::{Answer, Bridge, EngineInfo, Mask, Timing};
use image::codecs::pnm::{PnmEncoder, PnmSubtype, SampleEncoding};
use image::{ImageFormat, RgbImage};
use serde::Serialize;

/// Prints a line.
pub fn say(line: &str) -> Result<()> {
    writeln!(stdout(), "{line}").context("cannot write to standard output")
}

/// Prints part of a line and flushes it.
pub fn say_part(part: &str) -> Result<()> {
    let mut out = stdout();
    write!(out, "{part}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

/// Content of the line of `--json`.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    model: &'a str,
    backend: String,
    text: &'a str,
    masks: Vec<MaskDocument>,
    /// `false` for a model that makes no masks, absent for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    makes_masks: Option<bool>,
    /// Number of masks left out because of their low estimated IoU.
    left_out: usize,
    /// References that the model was not trained with, and their substitutes.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    bridge: &'a [Bridge],
    timing_ms: TimingDocument,
}

/// Mask in a document.
#[derive(Debug, Serialize)]
pub struct MaskDocument {
    size: [usize; 2],
    counts: String,
    area: u64,
    #[serde(rename = "box")]
    bounds: [u32; 4],
    score: f32,
    /// Start and end in characters of `text`, of the words that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<[usize; 2]>,
}

#[derive(Debug, Serialize)]
struct TimingDocument {
    load: f64,
    image: f64,
    audio: f64,
    prompt: f64,
    generate: f64,
    decode: f64,
    total: f64,
}

/// Model, backend and times of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// Name of the backend.
    pub backend: anyref_core::BackendName,
    /// Whether the model makes masks.
    pub makes_masks: bool,
    /// Loading time of the model.
    pub load: Duration,
    /// Time from the start to the answer.
    pub total: Duration,
}

impl<'a> Run<'a> {
    /// Run of an engine, for a command that started at `start`.
    pub fn new(engine: &'a EngineInfo, start: Instant) -> Self {
        Self {
            model: &engine.model,
            backend: engine.backend,
            makes_masks: engine.makes_masks(),
            load: engine.load,
            total: start.elapsed(),
        }
    }
}

impl<'a> Document<'a> {
    /// Document of an answer.
    pub fn new(answer: &'a Answer, run: Run<'a>) -> Self {
        Self {
            model: run.model,
            backend: run.backend.to_string(),
            text: &answer.text,
            masks: answer.masks.iter().map(MaskDocument::new).collect(),
            makes_masks: (!run.makes_masks).then_some(false),
            left_out: answer.doubtful,
            bridge: &answer.bridges,
            timing_ms: TimingDocument::new(&answer.timing, run),
        }
    }

    /// Serialises the document on one line.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

impl MaskDocument {
    /// Document of a mask.
    pub fn new(mask: &Mask) -> Self {
        Self {
            size: mask.rle.size(),
            counts: mask.rle.to_compressed(),
            area: mask.area(),
            bounds: mask.bounding_box(),
            score: mask.score,
            words: mask.words,
        }
    }
}

impl TimingDocument {
    fn new(timing: &Timing, run: Run<'_>) -> Self {
        Self {
            load: milliseconds(run.load),
            image: milliseconds(timing.image),
            audio: milliseconds(timing.audio),
            prompt: milliseconds(timing.prompt),
            generate: milliseconds(timing.generate),
            decode: milliseconds(timing.decode),
            total: milliseconds(run.total),
        }
    }
}

/// Milliseconds with three decimals.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Timing on one line.
pub fn timing_line(timing: &Timing, run: Run<'_>) -> String {
    let ms = |time: Duration| format!("{:.0}", milliseconds(time));
    format!(
        "{} on {}: load {}, image {}, audio {}, prompt {}, generate {}, decode {}, total {} ms",
        run.model,
        run.backend,
        ms(run.load),
        ms(timing.image),
        ms(timing.audio),
        ms(timing.prompt),
        ms(timing.generate),
        ms(timing.decode),
        ms(run.total)
    )
}

/// Line about a mask.
pub fn mask_line(number: usize, mask: &Mask) -> String {
    let [x0, y0, x1, y1] = mask.bounding_box();
    format!(
        "mask {number}: {} pixels, box {x0},{y0},{x1},{y1}, score {:.2}",
        mask.area(),
        mask.score
    )
}

/// Says why masks are missing, if any are: none found, or left out because of a low estimated IoU.
/// `unwritten` is the file that they would have been in.
pub fn say_missing_masks(answer: &Answer, picture: &Path, unwritten: Option<&Path>) -> Result<()> {
    if answer.masks.is_empty() {
        let reason = match answer.doubtful {
            0 => "the answer points at nothing",
            _ => "the model is too unsure of what it would point at (see --min-score)",
        };
        let unwritten = unwritten.map(|path| format!(", {} is not written", path.display()));
        let unwritten = unwritten.unwrap_or_default();
        say(&format!(
            "no mask: {reason} in {}{unwritten}",
            picture.display()
        ))
    } else if answer.doubtful > 0 {
        say(&format!(
            "{} left out, since the model is too unsure of them (see --min-score)",
            match answer.doubtful {
                1 => "1 mask is".to_owned(),
                count => format!("{count} masks are"),
            }
        ))
    } else {
        Ok(())
    }
}

/// Refuses to overwrite an input.
pub fn check_apart(output: &Path, inputs: &[&Path]) -> Result<()> {
    match inputs
        .iter()
        .find(|input| located(input) == located(output))
    {
        Some(input) => bail!(
            "cannot write {}: {} is read for the question, give another name",
            output.display(),
            input.display()
        ),
        None => Ok(()),
    }
}

/// Refuses masks that, with or without numbers, would overwrite an input or the overlay.
pub fn check_masks_apart(mask: &Path, inputs: &[&Path], overlay: Option<&Path>) -> Result<()> {
    let replaced = |other: &Path| {
        let plain = without_number(other);
        located(other) == located(mask)
            || plain.is_some_and(|plain| located(&plain) == located(mask))
    };
    if let Some(input) = inputs.iter().find(|input| replaced(input)) {
        bail!(
            "cannot write masks to {}: {}, which is read for the question, could be replaced, give another name",
            mask.display(),
            input.display()
        );
    }
    if let Some(overlay) = overlay.filter(|overlay| replaced(overlay)) {
        bail!(
            "cannot write masks to {} and the overlay to {}: one could replace the other, give another name",
            mask.display(),
            overlay.display()
        );
    }
    Ok(())
}

/// Canonical path of a file, whether or not it exists.
pub fn located(path: &Path) -> PathBuf {
    if let Ok(found) = path.canonicalize() {
        return found;
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// `out_2.png` → `out.png`; `None` without a number.
fn without_number(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let (plain, number) = stem.rsplit_once('_')?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy());
    let extension = extension.map(|extension| format!(".{extension}"));
    Some(path.with_file_name(format!("{plain}{}", extension.unwrap_or_default())))
}

/// Refuses a mask that cannot be written, before the model is run.
pub fn check_mask(path: &Path) -> Result<()> {
    if !matches!(ImageFormat::from_path(path), Ok(ImageFormat::Png)) {
        bail!(
            "cannot write {}: masks are PNG files, use .png",
            path.display()
        );
    }
    check_writable(path)
}

/// Refuses a picture that cannot be written, before the model is run.
pub fn check_writable(path: &Path) -> Result<()> {
    if !ImageFormat::from_path(path).is_ok_and(|format| format.writing_enabled()) {
        bail!(
            "cannot write {}: the name has no ending of a picture that can be written, use .png",
            path.display()
        );
    }
    check_place(path)
}

/// Refuses a path that is a folder, or lies in none.
pub fn check_place(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!(
            "cannot write {}: it is a folder, give a file name",
            path.display()
        );
    }
    match path.parent() {
        Some(folder) if folder != Path::new("") && !folder.is_dir() => bail!(
            "cannot write {}: there is no folder {}, create it first",
            path.display(),
            folder.display()
        ),
        _ => Ok(()),
    }
}

/// Writes each mask: `OUT.png`, or `OUT_1.png`, `OUT_2.png` … if there are several. Returns the
/// paths.
pub fn write_masks(masks: &[Mask], path: &Path) -> Result<Vec<PathBuf>> {
    let paths = (1..=masks.len()).map(|number| match masks.len() {
        1 => path.to_owned(),
        _ => numbered(path, number),
    });
    masks
        .iter()
        .zip(paths)
        .map(|(mask, path)| {
            mask.to_image()
                .save_with_format(&path, ImageFormat::Png)
                .with_context(|| cannot_write(&path))?;
            Ok(path)
        })
        .collect()
}

/// Writes a picture in the format of its name.
pub fn write_picture(picture: &RgbImage, path: &Path) -> Result<()> {
    if !is_pixmap(path) {
        return picture.save(path).with_context(|| cannot_write(path));
    }
    let mut bytes = Vec::new();
    let kind = PnmSubtype::Pixmap(SampleEncoding::Binary);
    picture
        .write_with_encoder(PnmEncoder::new(&mut bytes).with_subtype(kind))
        .with_context(|| cannot_write(path))?;
    fs::write(path, bytes).with_context(|| cannot_write(path))
}

/// Returns whether the name is that of a portable pixmap, which would be saved as a PAM.
fn is_pixmap(path: &Path) -> bool {
    let is_pam = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("pam"));
    !is_pam && matches!(ImageFormat::from_path(path), Ok(ImageFormat::Pnm))
}

/// Message about a file that cannot be written.
pub fn cannot_write(path: &Path) -> String {
    format!(
        "cannot write {} (check the folder and its permissions)",
        path.display()
    )
}

/// `out.png` → `out_2.png`.
pub fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}_{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}_{number}"),
    };
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_before_the_extension() {
        assert_eq!(
            numbered(Path::new("a/b.c.png"), 2),
            Path::new("a/b.c_2.png")
        );
        assert_eq!(numbered(Path::new("mask"), 1), Path::new("mask_1"));
    }

    #[test]
    fn numbers_are_taken_off_again() {
        for path in ["a/b.c.png", "mask", "x_y.png"] {
            let path = Path::new(path);
            assert_eq!(without_number(&numbered(path, 12)), Some(path.to_owned()));
            assert_eq!(without_number(path), None);
        }
        assert_eq!(without_number(Path::new("a_.png")), None);
    }

    #[test]
    fn a_path_is_the_same_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        assert_eq!(located(&at("none.png")), located(&at("sub/../none.png")));
        assert_eq!(
            located(Path::new("none.png")),
            located(Path::new("./none.png"))
        );
        assert_ne!(located(&at("a.png")), located(&at("b.png")));
        assert!(check_apart(&at("./none.png"), &[&at("none.png")]).is_err());
        let masks = |mask: &str, input: &str, overlay: &str| {
            check_masks_apart(&at(mask), &[&at(input)], Some(&at(overlay)))
        };
        masks("m.png", "a_1.png", "o_1.png").unwrap();
        for (input, overlay) in [
            ("m.png", "o.png"),
            ("m_3.png", "o.png"),
            ("a.png", "m_1.png"),
        ] {
            assert!(masks("m.png", input, overlay).is_err(), "{input} {overlay}");
        }
    }
}
