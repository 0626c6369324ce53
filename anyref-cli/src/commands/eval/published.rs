//! `anyref eval refcoco` and its like: data sets in their published layouts.

use std::sync::Arc;

use anyhow::{Context, Result};
use anyref_train::datasets::coco_20i::Part;
use anyref_train::datasets::{Dataset, Grouping, Source};
use anyref_train::eval::{
    self, DatasetOptions, ScoreOptions, ask_dataset, score_files, write_page,
};
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
    let dataset = open(arguments, common.seed)?;
    let opened = model::open::<B>(common, device)?;
    let options = DatasetOptions {
        describe: describes(arguments),
        fold: (arguments.benchmark == Benchmark::Coco20i).then_some(arguments.fold),
        limit: arguments.limit,
        out: arguments.out.clone(),
        model: match arguments.benchmark {
            // The seed draws the pictures that are shown.
            Benchmark::Coco20i => format!("{}, seed {}", model::name(common), common.seed),
            _ => model::name(common),
        },
    };
    let asked = ask_dataset(&opened.anyref, dataset.as_ref(), &options)?;
    if let Some((count, path)) = &asked.incomplete {
        eprintln!(
            "{count} items are left out, for files that are missing, such as {}",
            path.display()
        );
    }
    let rules = match arguments.benchmark {
        _ if options.describe => eval::Benchmark::Captions,
        Benchmark::Grefcoco => eval::Benchmark::Generalized,
        Benchmark::Reasonseg => eval::Benchmark::Reasoning,
        Benchmark::Coco20i => eval::Benchmark::Coco20i,
        Benchmark::AvsS4 => eval::Benchmark::AvsS4,
        Benchmark::AvsMs3 => eval::Benchmark::AvsMs3,
        _ => eval::Benchmark::Referring,
    };
    let score = ScoreOptions {
        seed: common.seed,
        ..Default::default()
    };
    let table = score_files(rules, &asked.targets, &asked.predictions, None, &score)?.markdown();
    let file = arguments.out.join("table.md");
    std::fs::write(&file, &table).with_context(|| format!("cannot write {}", file.display()))?;
    say(table.trim_end())?;
    if !options.describe {
        let page = write_page(&asked.targets, &asked.predictions, &arguments.out)?;
        say(&format!("best and worst cases: {}", page.display()))?;
    }
    say(&format!(
        "targets and predictions: {}",
        arguments.out.display()
    ))
}

/// Visual Genome has nothing but descriptions.
fn describes(arguments: &EvalArguments) -> bool {
    arguments.describe || arguments.benchmark == Benchmark::VisualGenome
}

/// The data set by the arguments; `seed` draws the pictures of COCO-20i.
fn open(arguments: &EvalArguments, seed: u64) -> Result<Arc<dyn Dataset>> {
    let root = arguments
        .root
        .clone()
        .context("--root is missing: give the data set's folder, or the file of your own")?;
    let usual = match arguments.benchmark {
        Benchmark::Coco20i => "val2014",
        _ => "val",
    };
    let split = arguments.split.clone().unwrap_or_else(|| usual.to_owned());
    let refer = |name: &str, usual: &str| {
        let (root, split) = (root.clone(), split.clone());
        let split_by = arguments.split_by.as_deref().unwrap_or(usual);
        Source::Refer {
            root,
            name: name.to_owned(),
            split_by: split_by.to_owned(),
            split,
            describe: arguments.describe,
            images: None,
        }
    };
    let source = match arguments.benchmark {
        Benchmark::Refclef => refer("refclef", "unc"),
        Benchmark::Refcoco => refer("refcoco", "unc"),
        Benchmark::RefcocoPlus => refer("refcoco+", "unc"),
        Benchmark::Refcocog => refer("refcocog", "umd"),
        Benchmark::Grefcoco => Source::Grefcoco {
            root,
            split,
            grouping: Grouping::Merged,
            images: None,
        },
        Benchmark::Reasonseg => Source::ReasonSeg { root, split },
        Benchmark::Coco20i => Source::Coco20i {
            root,
            split,
            fold: arguments.fold,
            part: Part::Test,
            mask_crop_probability: 0.0,
        },
        Benchmark::AvsS4 => Source::AvsS4 { root, split },
        Benchmark::AvsMs3 => Source::AvsMs3 { root, split },
        Benchmark::VisualGenome => Source::VisualGenome { root },
        Benchmark::Own | Benchmark::Stamps => Source::Own { file: root },
    };
    Ok(source.open(seed)?)
}
