//! `anyref eval refcoco` and other data sets in their published layouts.

use std::sync::Arc;

use anyhow::{Context, Result};
use anyref_data::datasets::{Dataset, FoldPart, Grouping, Source};
use anyref_eval::{
    Benchmark, DatasetOptions, ScoreOptions, Summary, ask_dataset, score_files, write_page,
    write_summary,
};
use burn::tensor::backend::Backend;

use super::progress::{Bar, say_speed};
use crate::args::{Common, EvalArguments};
use crate::commands::score::programs;
use crate::model;
use crate::output::say;

/// Asks about a data set, scores the answers and prints the table.
pub fn run<B: Backend>(
    common: &Common,
    arguments: &EvalArguments,
    device: &B::Device,
) -> Result<()> {
    let dataset = open(arguments, common.seed)?;
    let programs = programs(&arguments.programs, describes(arguments))?;
    let opened = model::open::<B>(common, device)?;
    let options = DatasetOptions {
        describe: describes(arguments),
        fold: arguments.benchmark.is_few_shot().then_some(fold(arguments)),
        limit: arguments.limit,
        batch: arguments.batch,
        out: arguments.folder(),
        settings: settings(common, arguments)?,
    };
    let bar = Bar::new();
    let asked = ask_dataset(&opened.anyref, dataset.as_ref(), &options, &mut |step| {
        bar.show(step);
    })?;
    drop(bar);
    if let Some((count, path)) = &asked.incomplete {
        eprintln!(
            "{count} items are left out, for files that are missing, such as {}",
            path.display()
        );
    }
    let rules = arguments.benchmark.scored_as(options.describe);
    let score = ScoreOptions {
        seed: common.seed,
        programs,
        ..Default::default()
    };
    let scored = score_files(rules, &asked.targets, &asked.predictions, None, &score)?;
    let table = scored.markdown();
    let summary = Summary {
        benchmark: dataset.name(),
        model: &model::name(common),
        left_out: asked.incomplete.as_ref().map_or(0, |(count, _)| *count),
        refused: scored.refused,
        scores: &scored.scores,
        throughput: &asked.throughput,
    };
    write_summary(&options.out, &table, &summary)?;
    say_speed(&asked.throughput);
    say(table.trim_end())?;
    let (targets, predictions) = (&asked.targets, &asked.predictions);
    let page = write_page(targets, predictions, options.describe, &options.out)?;
    say(&format!("best and worst cases: {}", page.display()))?;
    say(&format!(
        "targets and predictions: {}",
        options.out.display()
    ))
}

/// Settings that may not change when the evaluation is resumed.
fn settings(common: &Common, arguments: &EvalArguments) -> Result<String> {
    let mut settings = arguments.benchmark.to_string();
    for part in [&arguments.split, &arguments.split_by]
        .into_iter()
        .flatten()
    {
        settings += &format!(" {part}");
    }
    if arguments.benchmark.is_few_shot() {
        // The seed draws the example pictures.
        settings += &format!(" fold {}, seed {}", fold(arguments), common.seed);
    }
    if describes(arguments) {
        settings += ", described";
    }
    if let Some(root) = &arguments.root {
        let root = root.canonicalize().unwrap_or_else(|_| root.clone());
        settings += &format!(" of {}", root.display());
        if root.is_file() {
            settings += &format!(" ({:016x})", model::state(&[root])?);
        }
    }
    Ok(format!("{settings}, by {}", model::settings(common)?))
}

fn fold(arguments: &EvalArguments) -> usize {
    arguments.fold.unwrap_or(0)
}

/// Returns whether boxes are described; Visual Genome has only descriptions.
fn describes(arguments: &EvalArguments) -> bool {
    arguments.describe || arguments.benchmark == Benchmark::VisualGenome
}

/// Opens the data set of the arguments; `seed` draws the examples of COCO-20i and PASCAL-5i.
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
            fold: fold(arguments),
            part: FoldPart::Test,
            mask_crop_probability: 0.0,
        },
        Benchmark::Pascal5i => Source::Pascal5i {
            root,
            fold: fold(arguments),
            part: FoldPart::Test,
            mask_crop_probability: 0.0,
        },
        Benchmark::AvsS4 => Source::AvsS4 { root, split },
        Benchmark::AvsMs3 => Source::AvsMs3 { root, split },
        Benchmark::VisualGenome => Source::VisualGenome { root },
        Benchmark::Own | Benchmark::Stamps | Benchmark::Captions => Source::Own { file: root },
    };
    Ok(source.open(seed)?)
}
