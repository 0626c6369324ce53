//! `anyref segment`: masks of what the references mean.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use anyref_core::{Answer, Point, Prompt};
use anyref_vision::preprocess::open_image;
use image::RgbImage;

use super::{clicks, segment_all};
use crate::args::{Common, OutputArguments, ReferenceArgument, SegmentArguments};
use crate::output::{self, Document, Run};
use crate::overlay::Overlay;
use crate::{explain, model, pictures, prompt};

/// Runs the command.
pub fn run(common: &Common, arguments: &SegmentArguments) -> Result<()> {
    match pictures::single(&arguments.images) {
        Some(path) if arguments.clicks.given() => clicks::run(common, arguments, path),
        Some(path) if arguments.out.is_none() => one(common, arguments, path),
        _ => segment_all::run(common, arguments),
    }
}

/// Answers a question about one picture.
fn one(common: &Common, arguments: &SegmentArguments, path: &Path) -> Result<()> {
    let start = Instant::now();
    let written = &arguments.references.0;
    let files = written.iter().flat_map(ReferenceArgument::files);
    let files: Vec<&Path> = files.chain([path]).collect();
    check_outputs(&arguments.output, &files)?;
    if let Some(folder) = &arguments.explain {
        explain::check_apart(folder, &files, &arguments.output)?;
    }
    let (question, image) = read(common, arguments, path)?;
    if let Some(folder) = &arguments.explain {
        fs::create_dir_all(folder).with_context(|| output::cannot_write(folder))?;
    }
    let engine = model::engine(common)?;
    if !engine.info().speaks() {
        return clicks::boxes_alone(common, arguments, &*engine, (path, &image), start);
    }
    let info = engine.info();
    prompt::check_sounds(info.audio.as_ref(), written, &question.references)?;
    let picture = engine.encode(&image)?;
    let (answer, explanations) = match arguments.explain {
        None => (engine.segment(&picture, &question)?, Vec::new()),
        Some(_) => engine.explain(&picture, &question)?,
    };
    let run = Run::new(info, start);
    let outcome = Outcome {
        path,
        image: &image,
        prompt: &question,
        points: &[],
        answer: &answer,
        wants_masks: true,
        speaks: true,
    };
    show(common, &arguments.output, &outcome, run)?;
    let Some(folder) = &arguments.explain else {
        return Ok(());
    };
    let written = explain::write(folder, &image, &question.references, &explanations)?;
    if !arguments.output.json {
        for path in written {
            output::say(&format!("explanation -> {}", path.display()))?;
        }
    }
    Ok(())
}

/// Reads the question and the picture, and refuses what is bad in them before a model is opened for
/// nothing.
fn read(common: &Common, arguments: &SegmentArguments, path: &Path) -> Result<(Prompt, RgbImage)> {
    let written = &arguments.references.0;
    let question = Prompt {
        question: arguments.prompt.clone(),
        references: prompt::read_all(written)?,
    };
    question.segmentation()?;
    let image = open_image(path)?;
    let references = &question.references;
    prompt::check_boxes(references, path, &image)?;
    prompt::check_sounds(model::hearing(common).as_ref(), written, references)?;
    Ok((question, image))
}

/// An answer and what it is about.
pub struct Outcome<'a> {
    /// The picture's file.
    pub path: &'a Path,
    /// The picture.
    pub image: &'a RgbImage,
    /// The question.
    pub prompt: &'a Prompt,
    /// Clicks, which the question does not have.
    pub points: &'a [Point],
    /// The answer.
    pub answer: &'a Answer,
    /// Whether masks were asked for.
    pub wants_masks: bool,
    /// Whether a language model answered.
    pub speaks: bool,
}

/// Refuses outputs that cannot be written, or would replace one of the `inputs`, before anything is
/// computed.
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
