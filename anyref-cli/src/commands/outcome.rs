//! Output of an answer: files of masks and overlay, text or JSON.

use std::path::Path;

use anyhow::Result;
use anyref_core::{Answer, Point, Prompt};
use image::RgbImage;

use crate::args::{Common, OutputArguments};
use crate::output::{self, Document, Run};
use crate::overlay::Overlay;
use crate::prompt;

/// Answer with its picture and question.
pub struct Outcome<'a> {
    /// Path of the picture.
    pub path: &'a Path,
    /// Picture asked about.
    pub image: &'a RgbImage,
    /// Question and references.
    pub prompt: &'a Prompt,
    /// Clicks, which are not part of the question.
    pub points: &'a [Point],
    /// Answer to show.
    pub answer: &'a Answer,
    /// Whether masks were asked for.
    pub wants_masks: bool,
    /// Whether a language model answered.
    pub speaks: bool,
}

/// Refuses outputs that cannot be written, or would replace one of the `inputs`, before any
/// computation.
pub fn check_outputs(output: &OutputArguments, inputs: &[&Path]) -> Result<()> {
    let (mask, overlay) = (output.mask.as_deref(), output.overlay.as_deref());
    mask.map_or(Ok(()), output::check_mask)?;
    overlay.map_or(Ok(()), output::check_writable)?;
    mask.map_or(Ok(()), |mask| {
        output::check_masks_apart(mask, inputs, overlay)
    })?;
    overlay.map_or(Ok(()), |overlay| output::check_apart(overlay, inputs))
}

/// Writes files and prints the answer.
pub fn show(
    common: &Common,
    arguments: &OutputArguments,
    outcome: &Outcome<'_>,
    run: Run<'_>,
) -> Result<()> {
    let answer = outcome.answer;
    let written = match &arguments.mask {
        Some(path) => output::write_masks(&answer.masks, path)?,
        None => Vec::new(),
    };
    if let Some(path) = &arguments.overlay {
        let overlay = Overlay {
            masks: &answer.masks,
            references: &outcome.prompt.references,
            points: outcome.points,
            question: &prompt::readable(outcome.prompt),
            answer: &answer.text,
        };
        output::write_picture(&overlay.draw(outcome.image), path)?;
    }
    if common.verbose {
        eprintln!("{}", output::timing_line(&answer.timing, run));
    }
    for bridge in &answer.bridges {
        eprintln!("{bridge}");
    }
    if arguments.json {
        return output::say(&Document::new(answer, run).to_json()?);
    }
    if outcome.speaks && (!answer.text.is_empty() || answer.bridges.is_empty()) {
        output::say(&answer.text)?;
    }
    for (index, mask) in answer.masks.iter().enumerate() {
        let file = written
            .get(index)
            .map(|path| format!(" -> {}", path.display()));
        output::say(&(output::mask_line(index + 1, mask) + &file.unwrap_or_default()))?;
    }
    if answer.masks.is_empty() && !outcome.wants_masks {
        return Ok(());
    }
    output::say_missing_masks(answer, outcome.path, arguments.mask.as_deref())?;
    if let Some(path) = &arguments.overlay {
        output::say(&format!("overlay -> {}", path.display()))?;
    }
    Ok(())
}
