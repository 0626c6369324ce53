//! `anyref eval stamps`: scenes composed of stamps.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use anyref_train::data::Scenes;
use anyref_train::eval::{EvalKind, EvalOptions, evaluate, scores, table};
use anyref_train::run::config::TrainConfig;
use anyref_weights::local_path;
use burn::tensor::backend::Backend;

use crate::args::{Common, EvalArguments};
use crate::model;

/// The configuration that the built-in model was trained with: its scenes are the benchmark's.
const CONFIG: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/nano.json"));

/// Runs or continues an evaluation and prints its table.
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
    if arguments.n == 0 {
        bail!("--n is 0: give at least 1");
    }
    let text = match &arguments.config {
        Some(file) => std::fs::read_to_string(local_path(file)?)
            .with_context(|| format!("cannot read {}", file.display()))?,
        None => CONFIG.to_owned(),
    };
    let config: TrainConfig =
        serde_json::from_str(&text).context("the configuration is no training configuration")?;
    let scenes = if config.shapes {
        Scenes::shapes(config.scenes)?
    } else {
        let backgrounds = arguments.backgrounds.clone().or_else(|| {
            let usual = PathBuf::from("data/backgrounds");
            usual.is_dir().then_some(usual)
        });
        Scenes::stamps(&arguments.stamps, backgrounds.as_deref(), config.scenes)
            .context("`cargo xtask data stamps` fetches the stamps")?
    };
    let opened = model::open::<B>(common, device)?;
    let options = EvalOptions {
        kinds,
        cases: arguments.n,
        out: arguments.out.clone(),
        model: model::name(common),
        instructions: config.instructions,
    };
    let cases = evaluate(&opened.anyref, &scenes, &options)?;
    print!("{}", table(&scores(&cases)));
    println!("predictions and pictures: {}", arguments.out.display());
    Ok(())
}
