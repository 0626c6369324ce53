//! Evaluation of a model on stamp scenes of the test split.

use std::collections::HashSet;
use std::fs;

use anyref_core::AnyRef;
use anyref_data::scenes::{Kind, Scenes};
use anyref_weights::write_atomic;
use burn::tensor::backend::Backend;

use super::batching::QuestionBatches;
use super::case::Case;
use super::details::details;
use super::error::{Error, Result};
use super::options::EvalOptions;
use super::prefetch::prefetch;
use super::progress::{Counter, Progress};
use super::records::Records;
use super::scene_questions::{SceneQuestions, Step};
use super::settings::check_settings;
use super::stamps_page::write_page;
use super::throughput::{Stopwatch, Throughput};

/// Number of consecutive scenes without a question after which the data set is taken to have none.
const PATIENCE: u64 = 2_000;

/// Outcome of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// Outcomes of all questions.
    pub cases: Vec<Case>,
    /// Speed, counting only the questions that were not answered before.
    pub throughput: Throughput,
}

/// Runs or resumes an evaluation. Writes `predictions.jsonl`, `details.md` and `cases.md` with its
/// pictures into `options.out`. Scenes are composed ahead while the model computes, and `progress`
/// is called after each answer.
///
/// # Errors
/// When `options.out` cannot be read or written, or holds an evaluation with other settings or with
/// cases that are damaged (other than by a last line cut short) or not of these scenes. When the
/// model fails for a reason that concerns more than one question.
pub fn evaluate<B: Backend>(
    anyref: &AnyRef<B>,
    scenes: &Scenes,
    options: &EvalOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Evaluated> {
    fs::create_dir_all(&options.out).map_err(Error::create(&options.out))?;
    check_settings(&options.out, &options.identity())?;
    let file = options.out.join("predictions.jsonl");
    let (mut records, mut cases) = Records::open::<Case>(&file)?;
    let counter = Counter::new(options.kinds.len() * options.cases, progress);
    let mut watch = Stopwatch::default();
    for &kind in &options.kinds {
        counter.advance(kind.name(), 0);
        let done: HashSet<u64> = cases
            .iter()
            .filter(|case| case.kind == kind)
            .map(|case| case.scene)
            .collect();
        let questions = SceneQuestions {
            scenes,
            options,
            kind,
            preprocessor: anyref.preprocessor(),
        };
        let batches = QuestionBatches {
            anyref,
            describe: kind.question() == Kind::BoxToText,
            batch: options.batch,
        };
        let compose = |index| match done.contains(&index) {
            true => Ok(Step::Done),
            false => questions.compose(index),
        };
        prefetch(0.., compose, |steps| {
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
                        Ok(Step::Done) => counter.advance(kind.name(), 1),
                        Ok(Step::Question(group)) => return Some(Ok(*group)),
                        Err(error) => return Some(Err(error)),
                    }
                }
            });
            batches.ask(&mut groups, &mut watch, &mut |composed, answer| {
                let case = questions.case(composed, answer)?;
                records.add(&case)?;
                cases.push(case);
                counter.advance(kind.name(), 1);
                Ok(())
            })
        })?;
    }
    write_page(scenes, &cases, options)?;
    let file = options.out.join("details.md");
    write_atomic(&file, details(&cases))?;
    let throughput = watch.throughput();
    Ok(Evaluated { cases, throughput })
}
