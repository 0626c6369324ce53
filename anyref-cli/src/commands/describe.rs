//! `anyref describe`: words for what is in a box.

use std::time::Instant;

use anyhow::Result;
use anyref_core::{Answer, AnyRef, Picture, Prompt};
use anyref_vision::preprocess::open_image;
use burn::tensor::backend::Backend;

use super::segment::{Shown, check_outputs, show};
use crate::args::{Common, DescribeArguments, ReferenceArgument};
use crate::output::Run;
use crate::{model, prompt};

/// Runs the command.
pub fn run<B: Backend>(
    common: &Common,
    arguments: &DescribeArguments,
    device: &B::Device,
) -> Result<()> {
    let start = Instant::now();
    check_outputs(&arguments.output, &[&arguments.image])?;
    let written = ReferenceArgument::Box(arguments.region.clone());
    let question = Prompt::new([prompt::read(&written)?]);
    let image = open_image(&arguments.image)?;
    prompt::check_boxes(&question.references, &arguments.image, &image)?;
    let opened = model::open::<B>(common, device)?;
    let picture = opened.anyref.picture(&image)?;
    let wants_mask = arguments.output.mask.is_some() || arguments.output.overlay.is_some();
    let answer = match wants_mask {
        true => with_mask(&opened.anyref, &picture, &question),
        false => opened.anyref.describe(&picture, &question),
    }?;
    let run = Run {
        model: &opened.anyref.config.name,
        backend: common.backend,
        load: opened.load,
        total: start.elapsed(),
    };
    let shown = Shown {
        path: &arguments.image,
        image: &image,
        prompt: &question,
        answer: &answer,
        wants_masks: wants_mask,
    };
    show(common, &arguments.output, &shown, run)
}

/// Describes, and where the description does not point by itself, asks for the mask too.
pub fn with_mask<B: Backend>(
    anyref: &AnyRef<B>,
    picture: &Picture<B>,
    question: &Prompt,
) -> anyref_core::Result<Answer> {
    let mut answer = anyref.describe(picture, question)?;
    if !answer.masks.is_empty() {
        return Ok(answer);
    }
    let located = anyref.segment(picture, &Prompt::new(question.references.clone()))?;
    answer.masks = located.masks;
    answer.doubtful = located.doubtful;
    answer.timing += located.timing;
    Ok(answer)
}
