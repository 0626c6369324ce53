//! `anyref segment`: masks of the objects that the references mean.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use anyref_core::{Error, Prompt};
use anyref_vision::preprocess::open_image;
use image::RgbImage;

use super::outcome::{Outcome, check_outputs, show};
use super::{clicks, segment_all};
use crate::args::{Common, ReferenceArgument, SegmentArguments};
use crate::output::{self, Run};
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
    if !info.makes_masks() {
        return Err(Error::NoMasks.into());
    }
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

/// Reads the question and the picture, and refuses invalid ones before a model is loaded.
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
