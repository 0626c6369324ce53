//! `anyref describe`: a description of the content of a box or a mask.

use std::time::Instant;

use anyhow::Result;
use anyref_core::{Answer, EncodedPicture, Engine, Error, Prompt};
use anyref_vision::preprocess::open_image;

use super::outcome::{Outcome, check_outputs, show};
use crate::args::{Common, DescribeArguments, ReferenceArgument};
use crate::output::Run;
use crate::{model, prompt};

/// Runs the command.
pub fn run(common: &Common, arguments: &DescribeArguments) -> Result<()> {
    let start = Instant::now();
    check_outputs(&arguments.output, &[&arguments.image])?;
    let written = match &arguments.region {
        Some(file) => ReferenceArgument::Region(file.clone()),
        None => ReferenceArgument::Box(arguments.corners.clone().unwrap_or_default()),
    };
    let question = Prompt::new([prompt::read(&written)?]);
    let image = open_image(&arguments.image)?;
    prompt::check_boxes(&question.references, &arguments.image, &image)?;
    let engine = model::engine(common)?;
    let wants_mask = arguments.output.mask.is_some() || arguments.output.overlay.is_some();
    if wants_mask && !engine.info().makes_masks() {
        return Err(Error::NoMasks.into());
    }
    let picture = engine.encode(&image)?;
    let answer = match wants_mask {
        true => with_mask(&*engine, &picture, &question),
        false => engine.describe(&picture, &question),
    }?;
    let run = Run::new(engine.info(), start);
    let outcome = Outcome {
        path: &arguments.image,
        image: &image,
        prompt: &question,
        points: &[],
        answer: &answer,
        wants_masks: wants_mask,
        speaks: true,
    };
    show(common, &arguments.output, &outcome, run)
}

/// Describes a box, and asks for the mask if the description has none.
pub fn with_mask(
    engine: &dyn Engine,
    picture: &EncodedPicture,
    question: &Prompt,
) -> anyref_core::Result<Answer> {
    let mut answer = engine.describe(picture, question)?;
    if !answer.masks.is_empty() {
        return Ok(answer);
    }
    let located = engine.segment(picture, &Prompt::new(question.references.clone()))?;
    answer.masks = located.masks;
    answer.doubtful = located.doubtful;
    answer.timing += located.timing;
    Ok(answer)
}
