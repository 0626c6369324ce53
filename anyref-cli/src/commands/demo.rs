//! `anyref demo`: bundled scenes with a question of every kind, answered and drawn.

pub(super) mod files;
pub(super) mod report;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use anyref_audio::Waveform;
use anyref_core::{Answer, EncodedPicture, Engine, Prompt, Reference, ReferenceImage};
use anyref_data::scenes::Kind;
use anyref_data::scenes::demo::{DemoReference, DemoScene, DemoTask};
use anyref_vision::preprocess::decode_image;
use image::RgbImage;

use super::describe;
use crate::args::{Common, DemoArguments};
use crate::overlay::{Overlay, contact_sheet};
use crate::{model, output, prompt};
use report::{Report, TaskReport};

#[cfg(feature = "serve")]
pub use files::FILES;

/// Runs the command.
pub fn run(common: &Common, arguments: &DemoArguments) -> Result<()> {
    let folder = &arguments.out;
    std::fs::create_dir_all(folder).with_context(|| output::cannot_write(folder))?;
    let start = Instant::now();
    let engine = model::engine(common)?;
    let mut report = Report::new(&engine.info().model, common.backend);
    let mut rows = Vec::new();
    for scene in files::demo()?.scenes {
        let image = decode_image(files::content(&scene.picture)?, &scene.picture)?;
        let picture = engine.encode(&image)?;
        let encoding = output::milliseconds(picture.encoding_time());
        output::say(&format!(
            "{} (encoded once, {encoding:.0} ms)",
            scene.picture
        ))?;
        let mut row = Vec::new();
        for (index, task) in scene.tasks.iter().enumerate() {
            let (done, tile) = answer_task(&*engine, &picture, &image, &scene, index, folder)
                .with_context(|| format!("{}: {:?}", scene.picture, task.question))?;
            output::say(&done.line())?;
            report.tasks.push(done);
            row.push(tile);
        }
        rows.push(row);
    }
    output::write_picture(&contact_sheet(&rows), &folder.join("overview.png"))?;
    let answers = folder.join("answers.json");
    std::fs::write(&answers, report.to_json()?).with_context(|| output::cannot_write(&answers))?;
    for line in report.summary() {
        output::say(&line)?;
    }
    let total = start.elapsed().as_secs_f64();
    output::say(&format!(
        "{} questions in {total:.1} s -> {}",
        report.tasks.len(),
        folder.join("overview.png").display()
    ))
}

/// Answers one question, writes its overlay and returns a tile for the contact sheet.
fn answer_task(
    engine: &dyn Engine,
    picture: &EncodedPicture,
    image: &RgbImage,
    scene: &DemoScene,
    index: usize,
    folder: &Path,
) -> Result<(TaskReport, RgbImage)> {
    let task = &scene.tasks[index];
    let question = question(task)?;
    let start = Instant::now();
    let answer = ask(engine, picture, task.kind, &question)?;
    let time = start.elapsed();
    let readable = prompt::readable(&question);
    let overlay = Overlay {
        masks: &answer.masks,
        references: &question.references,
        points: &[],
        question: &readable,
        answer: &answer.text,
    };
    let stem = scene.picture.trim_end_matches(".jpg");
    let name = format!("{stem}-{}-{}.png", index + 1, report::kind_name(task.kind));
    output::write_picture(&overlay.draw(image), &folder.join(&name))?;
    let done = TaskReport::new(task, readable.clone(), &answer, time, name)?;
    let told = format!("{} {}", answer.text, done.verdict());
    let tile = Overlay {
        answer: &told,
        ..overlay
    }
    .draw_enlarged(image, 1);
    Ok((done, tile))
}

/// Asks a question of a kind.
pub(super) fn ask(
    engine: &dyn Engine,
    picture: &EncodedPicture,
    kind: Kind,
    question: &Prompt,
) -> Result<Answer> {
    Ok(match kind {
        Kind::BoxToText => describe::with_mask(engine, picture, question)?,
        _ => engine.segment(picture, question)?,
    })
}

/// Question with its references read from the bundled files.
pub(super) fn question(task: &DemoTask) -> Result<Prompt> {
    let references = task.references.iter().map(|reference| {
        Ok(match reference {
            DemoReference::Box(corners) => Reference::Box(*corners),
            DemoReference::Picture(file) => Reference::Image(ReferenceImage::new(decode_image(
                files::content(file)?,
                file,
            )?)),
            DemoReference::Sound(file) => {
                Reference::Audio(Waveform::decode(files::content(file)?, file)?)
            }
        })
    });
    let references = references.collect::<Result<Vec<_>>>()?;
    Ok(Prompt::new(references).with_question(&task.question))
}
