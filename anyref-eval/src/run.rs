//! Asks a model about the test split.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use anyref_core::AnyRef;
use anyref_weights::write_atomic;
use burn::tensor::backend::Backend;
use indicatif::{ProgressBar, ProgressStyle};

use super::batching::Asking;
use super::case::{Case, EvalKind};
use super::details::details;
use super::disturbance::Disturbance;
use super::prefetch::ahead;
use super::refusal::refusals;
use super::report::table;
use super::scene_questions::{Composer, Step};
use super::scores::scores;
use super::stamps_page::write_page;
use super::throughput::{Stopwatch, Throughput};
use anyref_data::scenes::{InstructionConfig, Kind, Scenes};

/// How to evaluate.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// What to evaluate.
    pub kinds: Vec<EvalKind>,
    /// Cases a kind.
    pub cases: usize,
    /// Questions asked at a time, at least 1.
    pub batch: usize,
    /// Where predictions, table and pictures go; an evaluation begun there is continued.
    pub out: PathBuf,
    /// What may not change when an evaluation is continued: the scenes, the model and how it answers.
    pub settings: String,
    /// How the questions are made.
    pub instructions: InstructionConfig,
    /// What is done to the pictures and sounds before the model gets them.
    pub disturbance: Option<Disturbance>,
}

impl EvalOptions {
    /// What may not change when an evaluation is continued.
    fn identity(&self) -> String {
        match self.disturbance {
            Some(disturbance) => format!("{}, {}", self.settings, disturbance.name()),
            None => self.settings.clone(),
        }
    }
}

/// After so many scenes in a row without an occasion for a question the data set has none.
const PATIENCE: u64 = 2_000;

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// All cases.
    pub cases: Vec<Case>,
    /// How fast it went, as far as it was not done before.
    pub throughput: Throughput,
}

/// Runs or continues an evaluation. Writes `predictions.jsonl`, `details.md` and `cases.md` with its pictures into `options.out`.
/// Scenes are composed ahead while the model computes.
///
/// # Errors
/// When `options.out` cannot be read or written, or holds an evaluation with other settings or cases that are damaged,
/// other than by a last line cut short, or not of these scenes. When the model fails for a reason that is not about one
/// question alone.
pub fn evaluate<B: Backend>(
    anyref: &AnyRef<B>,
    scenes: &Scenes,
    options: &EvalOptions,
) -> Result<Evaluated> {
    std::fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot create {}", options.out.display()))?;
    check_settings(&options.out, &options.identity())?;
    let file = options.out.join("predictions.jsonl");
    let mut cases = read(&file)?;
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let bar = ProgressBar::new((options.kinds.len() * options.cases) as u64).with_style(
        ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} left {eta_precise} {msg}")
            .expect("a valid template"),
    );
    let mut watch = Stopwatch::default();
    for &kind in &options.kinds {
        bar.set_prefix(kind.name());
        let done: HashSet<u64> = cases
            .iter()
            .filter(|case| case.kind == kind)
            .map(|case| case.scene)
            .collect();
        let composer = Composer {
            scenes,
            options,
            kind,
            preprocessor: anyref.preprocessor(),
        };
        let asking = Asking {
            anyref,
            describe: kind.question() == Kind::BoxToText,
            batch: options.batch,
        };
        let compose = |index| match done.contains(&index) {
            true => Ok(Step::Done),
            false => composer.compose(index),
        };
        ahead(0.., compose, |steps| {
            let (mut made, mut empty) = (0, 0);
            let mut groups = std::iter::from_fn(|| {
                loop {
                    if made == options.cases || empty == PATIENCE {
                        return None;
                    }
                    let step = steps.next()?;
                    empty = match step {
                        Ok(Step::Empty) => empty + 1,
                        _ => 0,
                    };
                    made += usize::from(empty == 0);
                    match step {
                        Ok(Step::Empty) => {}
                        Ok(Step::Done) => bar.inc(1),
                        Ok(Step::Asked(group)) => return Some(Ok(*group)),
                        Err(error) => return Some(Err(error)),
                    }
                }
            });
            asking.ask(&mut groups, &mut watch, &mut |composed, answer| {
                let case = composer.case(composed, answer)?;
                writeln!(log, "{}", serde_json::to_string(&case)?)?;
                cases.push(case);
                bar.inc(1);
                Ok(())
            })
        })?;
    }
    bar.finish_and_clear();
    write_page(scenes, &cases, options)?;
    std::fs::write(options.out.join("details.md"), details(&cases))?;
    let throughput = watch.throughput();
    Ok(Evaluated { cases, throughput })
}

/// The table, and how many questions were refused.
pub fn report(cases: &[Case]) -> String {
    let refused = cases.iter().filter_map(|case| {
        let name = format!("scene {} of {}", case.scene, case.kind.name());
        Some((name, case.refused.as_deref()?))
    });
    let note = refusals(cases.len(), refused).map_or(String::new(), |note| format!("\n{note}\n"));
    table(&scores(cases)) + &note
}

/// Refuses to go on in a folder with an evaluation of other settings.
pub(super) fn check_settings(out: &Path, settings: &str) -> Result<()> {
    let file = out.join("settings.txt");
    match std::fs::read_to_string(&file) {
        Ok(other) if other != settings => bail!(
            "{} holds an evaluation of {other}; this one is of {settings}: give another --out",
            out.display()
        ),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let begun = out.join("predictions.jsonl");
            if begun.exists() {
                bail!(
                    "{} is there without the settings it was asked with: give another --out",
                    begun.display()
                );
            }
            Ok(write_atomic(&file, settings)?)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Cases of an evaluation that was begun; a last line cut short by a kill is dropped.
fn read(file: &Path) -> Result<Vec<Case>> {
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let lines: Vec<String> = BufReader::new(File::open(file)?)
        .lines()
        .collect::<Result<_, _>>()?;
    let mut cases = Vec::with_capacity(lines.len());
    for (number, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(case) => cases.push(case),
            Err(_) if number + 1 == lines.len() => {
                let whole: String = lines[..number].iter().map(|l| format!("{l}\n")).collect();
                write_atomic(file, whole)?;
            }
            Err(error) => bail!("{} line {}: {error}", file.display(), number + 1),
        }
    }
    Ok(cases)
}
