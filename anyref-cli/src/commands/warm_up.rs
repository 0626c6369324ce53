//! `anyref warm-up`: kernels of a backend chosen and compiled before the first question.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use anyref_core::{EncodedPicture, Engine, MaskPrompt, Multimask, Reference};
use anyref_data::scenes::Kind;
use anyref_data::scenes::demo::DemoScene;
use anyref_vision::preprocess::decode_image;

use super::demo;
use crate::args::Common;
use crate::{model, output};

/// Rounds of equal questions: kernels are chosen in the first, and the second tells the time of a
/// question from then on.
const ROUNDS: [&str; 2] = ["first round", "second round"];

/// Runs the command.
pub fn run(common: &Common) -> Result<()> {
    let start = Instant::now();
    let engine = model::engine(common)?;
    output::say(&format!(
        "{} on {}, loaded in {}",
        engine.info().model,
        common.backend,
        seconds(start.elapsed())
    ))?;
    let scene = demo::files::demo()?.scenes;
    let scene = scene.first().context("no scene is bundled")?;
    let mut times = Vec::new();
    for round in ROUNDS {
        let start = Instant::now();
        questions(&*engine, scene, round)?;
        times.push(start.elapsed());
    }
    let told = ROUNDS.iter().zip(&times);
    let told: Vec<_> = told
        .map(|(round, &time)| format!("{round} {}", seconds(time)))
        .collect();
    output::say(&told.join(", "))
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Asks a question of every kind that the model answers, and tells the time of each.
fn questions(engine: &dyn Engine, scene: &DemoScene, round: &str) -> Result<()> {
    let told = |step: &str, start: Instant| {
        output::say(&format!("{round}: {step} {}", seconds(start.elapsed())))
    };
    let start = Instant::now();
    let image = decode_image(demo::files::content(&scene.picture)?, &scene.picture)?;
    let picture = engine.encode(&image)?;
    told("picture", start)?;
    if !engine.info().speaks() {
        let start = Instant::now();
        point(engine, &picture, [image.width(), image.height()])?;
        return told("point", start);
    }
    for task in &scene.tasks {
        let question = demo::question(task)?;
        let sound = |reference: &Reference| matches!(reference, Reference::Audio(_));
        let answers = match task.kind {
            Kind::BoxToText => true,
            _ => engine.info().makes_masks(),
        };
        if !answers || (question.references.iter().any(sound) && !engine.info().hears()) {
            continue;
        }
        let start = Instant::now();
        demo::ask(engine, &picture, task.kind, &question)?;
        told(demo::report::kind_name(task.kind), start)?;
    }
    Ok(())
}

/// Asks for the masks of the point in the middle.
fn point(engine: &dyn Engine, picture: &EncodedPicture, [width, height]: [u32; 2]) -> Result<()> {
    let middle = MaskPrompt::default().with_point(width as f32 / 2.0, height as f32 / 2.0, true);
    engine.prompt_masks(picture, &[middle], Multimask::Always)?;
    Ok(())
}
