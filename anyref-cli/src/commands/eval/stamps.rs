//! `anyref eval stamps`: scenes composed of stamps.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use anyref_core::AnyRef;
use anyref_data::scenes::{SceneSetConfig, Scenes};
use anyref_eval::{
    Disturbance, EvalKind, EvalOptions, Evaluated, Progress, Scores, Summary, evaluate, report,
    robustness_table, scores, write_summary,
};
use anyref_weights::{StableHash, local_path};
use burn::tensor::backend::Backend;

use super::progress::{Bar, say_speed};
use crate::args::{Common, EvalArguments};
use crate::commands::score::programs;
use crate::model;
use crate::output::{cannot_write, say};

/// Configuration that the built-in model was trained with; the benchmark has its scenes.
const CONFIG: &str = include_str!(concat!(env!("ANYREF_ASSETS"), "/../configs/nano.json"));

/// Runs or resumes an evaluation and prints its table.
pub fn run<B: Backend>(
    common: &Common,
    arguments: &EvalArguments,
    device: &B::Device,
) -> Result<()> {
    let kinds = if arguments.kind.is_empty() {
        EvalKind::ALL.to_vec()
    } else {
        let named = |name: &String| {
            EvalKind::named(name).with_context(|| {
                let known: Vec<_> = EvalKind::ALL.iter().map(|kind| kind.name()).collect();
                format!("--kind {name:?} is none of {}", known.join(", "))
            })
        };
        arguments.kind.iter().map(named).collect::<Result<_>>()?
    };
    programs(&arguments.programs, false)?;
    let cases = arguments.n.unwrap_or(500);
    if cases == 0 {
        bail!("--n is 0: give at least 1");
    }
    let (file, text) = match &arguments.config {
        Some(file) => {
            let text = std::fs::read_to_string(local_path(file)?)
                .with_context(|| format!("cannot read {}", file.display()))?;
            (file.as_path(), text)
        }
        None => (Path::new("configs/nano.json"), CONFIG.to_owned()),
    };
    let mut config = SceneSetConfig::from_training_config(&text)
        .with_context(|| format!("{} is no training configuration", file.display()))?;
    config.scenes.seed = arguments.scene_seed.unwrap_or(config.scenes.seed);
    let stamps = match config.shapes {
        true => {
            check_shapes(arguments, file)?;
            None
        }
        false => {
            let backgrounds = arguments.backgrounds.clone().or_else(|| {
                let usual = PathBuf::from("data/backgrounds");
                usual.is_dir().then_some(usual)
            });
            let usual = || PathBuf::from("data/stamps");
            Some((arguments.stamps.clone().unwrap_or_else(usual), backgrounds))
        }
    };
    let asked = serde_json::to_string(&(&stamps, &config.scenes, &config.instructions))?;
    let scenes = match &stamps {
        None => Scenes::shapes(config.scenes)?,
        Some((stamps, backgrounds)) => {
            Scenes::stamps(stamps, backgrounds.as_deref(), config.scenes)?
        }
    };
    if let Some((_, None)) = &stamps {
        eprintln!(
            "no photographic backgrounds: scenes are not those of published tables (see `cargo xtask data stamps`)"
        );
    }
    let disturbances = disturbances(&arguments.disturb)?;
    let opened = model::open::<B>(common, device)?;
    let options = EvalOptions {
        kinds,
        cases,
        batch: arguments.batch,
        out: arguments.folder(),
        settings: format!(
            "stamps ({:016x}), by {}",
            StableHash::new().bytes(asked).finish(),
            model::settings(common)?
        ),
        instructions: config.instructions,
        disturbance: None,
    };
    let name = model::name(common);
    if disturbances.is_empty() {
        let (table, _) = evaluated(&opened.anyref, &name, &scenes, &options)?;
        say(table.trim_end())?;
    } else {
        let text = robustness(&opened.anyref, &name, &scenes, &options, &disturbances)?;
        let file = options.out.join("robustness.md");
        std::fs::write(&file, &text).with_context(|| cannot_write(&file))?;
        say(text.trim_end())?;
    }
    say(&format!(
        "predictions and pictures: {}",
        options.out.display()
    ))
}

/// Refuses folders of stamps if the configuration's scenes are of shapes.
fn check_shapes(arguments: &EvalArguments, config: &Path) -> Result<()> {
    for (name, folder) in [
        ("--stamps", &arguments.stamps),
        ("--backgrounds", &arguments.backgrounds),
    ] {
        if folder.is_some() {
            bail!(
                "the scenes of {} are of shapes and have no use for {name}: leave it out",
                config.display()
            );
        }
    }
    Ok(())
}

/// Runs or resumes an evaluation and writes its table; returns it with the scores.
fn evaluated<B: Backend>(
    anyref: &AnyRef<B>,
    model: &str,
    scenes: &Scenes,
    options: &EvalOptions,
) -> Result<(String, Vec<Scores>)> {
    let bar = Bar::new();
    let mut show = |step: Progress<'_>| bar.show(step);
    let Evaluated { cases, throughput } = evaluate(anyref, scenes, options, &mut show)?;
    drop(bar);
    let (table, scores) = (report(&cases), scores(&cases));
    let summary = Summary {
        benchmark: "stamps",
        model,
        left_out: 0,
        refused: cases.iter().filter(|case| case.refused.is_some()).count(),
        scores: &scores,
        throughput: &throughput,
    };
    write_summary(&options.out, &table, &summary)?;
    say_speed(&throughput);
    Ok((table, scores))
}

/// Disturbances with these names.
fn disturbances(names: &[String]) -> Result<Vec<Disturbance>> {
    if names.iter().any(|name| name == "all") {
        return Ok(Disturbance::ALL.to_vec());
    }
    let named = |name: &String| {
        Disturbance::named(name).with_context(|| {
            let known: Vec<_> = Disturbance::ALL.iter().map(|one| one.name()).collect();
            format!("--disturb {name:?} is none of {}, all", known.join(", "))
        })
    };
    names.iter().map(named).collect()
}

/// Evaluates undisturbed and with each disturbance, in one folder each.
fn robustness<B: Backend>(
    anyref: &AnyRef<B>,
    model: &str,
    scenes: &Scenes,
    options: &EvalOptions,
    disturbances: &[Disturbance],
) -> Result<String> {
    let mut rows = Vec::with_capacity(1 + disturbances.len());
    let all = disturbances.iter().copied().map(Some);
    for disturbance in std::iter::once(None).chain(all) {
        let name = disturbance.map_or("none", Disturbance::name);
        let kinds = options.kinds.iter().copied();
        let kinds: Vec<_> = kinds
            .filter(|kind| disturbance.is_none_or(|one| one.concerns(*kind)))
            .collect();
        if kinds.is_empty() {
            continue;
        }
        let options = EvalOptions {
            kinds,
            out: options.out.join(name),
            disturbance,
            ..options.clone()
        };
        rows.push((name, evaluated(anyref, model, scenes, &options)?.1));
    }
    Ok(robustness_table(&rows))
}
