//! `anyref eval refcoco` and its like: data sets in their published layouts.

use anyhow::{Context, Result};
use anyref_train::datasets::grefcoco::GRefCoco;
use anyref_train::datasets::own::Own;
use anyref_train::datasets::refer::{Refer, ReferOptions};
use anyref_train::datasets::{Dataset, Grouping};
use anyref_train::eval::{self, DatasetOptions, ScoreOptions, ask_dataset, score_files};
use burn::tensor::backend::Backend;

use crate::args::{Benchmark, Common, EvalArguments};
use crate::model;
use crate::output::say;

/// Asks about a data set, scores the answers and prints the table.
pub fn run<B: Backend>(
    common: &Common,
    arguments: &EvalArguments,
    device: &B::Device,
) -> Result<()> {
    let dataset = open(arguments)?;
    let opened = model::open::<B>(common, device)?;
    let options = DatasetOptions {
        describe: arguments.describe,
        limit: arguments.limit,
        out: arguments.out.clone(),
        model: model::name(common),
    };
    let asked = ask_dataset(&opened.anyref, dataset.as_ref(), &options)?;
    if let Some((count, path)) = &asked.incomplete {
        eprintln!(
            "{count} items are left out, for files that are missing, such as {}",
            path.display()
        );
    }
    let rules = match (arguments.describe, arguments.benchmark) {
        (true, _) => eval::Benchmark::Captions,
        (false, Benchmark::Grefcoco) => eval::Benchmark::Generalized,
        (false, _) => eval::Benchmark::Referring,
    };
    let score = ScoreOptions {
        seed: common.seed,
        ..Default::default()
    };
    let table = score_files(rules, &asked.targets, &asked.predictions, None, &score)?.markdown();
    let file = arguments.out.join("table.md");
    std::fs::write(&file, &table).with_context(|| format!("cannot write {}", file.display()))?;
    say(table.trim_end())?;
    say(&format!(
        "targets and predictions: {}",
        arguments.out.display()
    ))
}

fn open(arguments: &EvalArguments) -> Result<Box<dyn Dataset>> {
    let root = arguments
        .root
        .as_deref()
        .context("--root is missing: give the data set's folder, or the file of your own")?;
    let (split, split_by) = (&arguments.split, arguments.split_by.as_deref());
    let refer = |name: &str, usual: &str| -> Result<Box<dyn Dataset>> {
        let options = ReferOptions::new(name, split_by.unwrap_or(usual), split);
        let options = match arguments.describe {
            true => options.describing(),
            false => options,
        };
        Ok(Box::new(Refer::open(root, &options)?))
    };
    match arguments.benchmark {
        Benchmark::Refclef => refer("refclef", "unc"),
        Benchmark::Refcoco => refer("refcoco", "unc"),
        Benchmark::RefcocoPlus => refer("refcoco+", "unc"),
        Benchmark::Refcocog => refer("refcocog", "umd"),
        Benchmark::Grefcoco => {
            let dataset = GRefCoco::open(root, split, Grouping::Merged, None)?;
            Ok(Box::new(dataset))
        }
        Benchmark::Own | Benchmark::Stamps => Ok(Box::new(Own::open(root)?)),
    }
}
