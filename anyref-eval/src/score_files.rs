//! Scores of prediction files by the rules of a benchmark.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::benchmark::{Benchmark, Rules};
use super::confidence::{self, RESAMPLES};
use super::files::{Error, Fault, Prediction, Result, Target, Targets, read_predictions};
use super::metrics::caption::{Captioning, Programs, caption_samples};
use super::metrics::{
    self, AudioVisual, Batch, Episode, FewShot, Frame, Generalized, GeneralizedSample, Metric,
    Overlap, Reasoning, Referring, SoftMask, united,
};
use super::refusal::refusals;
use super::score_table::{Comparison, ScoreTable};

/// Options of scores.
#[derive(Debug, Clone)]
pub struct ScoreOptions {
    /// Number of resamples for intervals.
    pub resamples: usize,
    /// Seed of the resampling.
    pub seed: u64,
    /// Videos in a batch of AVSBench's F-score.
    pub videos: usize,
    /// Java programs that score descriptions.
    pub programs: Programs,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self {
            resamples: RESAMPLES,
            seed: 0,
            videos: 1,
            programs: Programs::default(),
        }
    }
}

/// Scores a file of predictions, and compares it with `against`, another such file.
///
/// # Errors
/// As [`Targets::open`] and [`read_predictions`], and when a target lacks a field that the
/// benchmark needs, has pixels to ignore although the benchmark ignores none or inside its own
/// masks, has no masks in a picture that is too large for a mask, or brings a fold to more classes
/// than the benchmark has. When a soft mask cannot be read or has another number of pixels than its
/// picture, or a program that scores descriptions fails.
pub fn score_files(
    benchmark: Benchmark,
    targets: &Path,
    predictions: &Path,
    against: Option<&Path>,
    options: &ScoreOptions,
) -> Result<ScoreTable> {
    let targets = Targets::open(targets)?;
    if !benchmark.ignores()
        && let Some(target) = targets.rows().iter().find(|target| target.ignore.is_some())
    {
        let (id, benchmark) = (target.id.clone(), benchmark.title());
        return Err(targets.fault(target, Fault::IgnoresNone { id, benchmark }));
    }
    let scoring = Scoring {
        benchmark,
        targets: &targets,
        predictions,
        against,
        options,
    };
    match benchmark.rules() {
        Rules::Referring => {
            scoring.each(&Referring, |target, answer| scoring.overlap(target, answer))
        }
        Rules::Reasoning => {
            scoring.each(&Reasoning, |target, answer| scoring.overlap(target, answer))
        }
        Rules::Generalized => scoring.each(&Generalized, |target, answer| {
            Ok(GeneralizedSample {
                overlap: scoring.overlap(target, answer)?,
                says_none: answer.says_none(),
                is_none: target.masks.is_empty(),
            })
        }),
        Rules::Captions => {
            let metric = Captioning::new(&options.programs);
            let mut table = scoring.all(&metric, |answers| scoring.captions(answers))?;
            table.notes.extend(metric.left_out());
            Ok(table)
        }
        Rules::FewShot => scoring.few_shot(),
        Rules::AudioVisual => {
            let mut table = scoring.all(&AudioVisual, |answers| scoring.batches(answers))?;
            table.notes.push(format!(
                "F takes the best threshold of every {} and averages these, as the benchmark's code does.",
                match options.videos {
                    1 => "video".to_owned(),
                    n => format!("{n} videos"),
                }
            ));
            Ok(table)
        }
    }
}

struct Scoring<'a> {
    benchmark: Benchmark,
    targets: &'a Targets,
    predictions: &'a Path,
    against: Option<&'a Path>,
    options: &'a ScoreOptions,
}

impl Scoring<'_> {
    /// Scores with one sample an answer.
    fn each<M: Metric>(
        &self,
        metric: &M,
        sample: impl Fn(&Target, &Prediction) -> Result<M::Sample>,
    ) -> Result<ScoreTable> {
        self.all(metric, |answers| {
            let pairs = self.targets.rows().iter().zip(answers);
            pairs
                .map(|(target, answer)| sample(target, answer))
                .collect()
        })
    }

    /// Scores with samples made of all answers.
    fn all<M: Metric>(
        &self,
        metric: &M,
        samples: impl Fn(&[Prediction]) -> Result<Vec<M::Sample>>,
    ) -> Result<ScoreTable> {
        let answers = read_predictions(self.predictions, self.targets)?;
        let of = |path: &Path| samples(&read_predictions(path, self.targets)?);
        let (one, other) = (samples(&answers)?, self.against.map(of).transpose()?);
        let refused = answers
            .iter()
            .filter_map(|answer| Some((format!("id {}", answer.id), answer.refused.as_deref()?)));
        let ScoreOptions {
            resamples, seed, ..
        } = *self.options;
        Ok(ScoreTable {
            benchmark: self.benchmark.title(),
            questions: self.targets.rows().len(),
            samples: one.len(),
            refused: refused.clone().count(),
            scores: confidence::score(metric, &one, resamples, seed),
            against: other.map(|other| Comparison {
                scores: confidence::score(metric, &other, resamples, seed),
                differences: confidence::compare(metric, &one, &other, resamples, seed),
            }),
            notes: refusals(answers.len(), refused).into_iter().collect(),
        })
    }

    /// Overlap of the answer's united masks with the target's.
    fn overlap(&self, target: &Target, answer: &Prediction) -> Result<Overlap> {
        let overlap = || {
            let predicted = united(&answer.rles(), target.size)?;
            Overlap::of(
                &predicted,
                &united(&target.masks, target.size)?,
                target.ignore.as_ref(),
            )
        };
        overlap().map_err(|source| self.metric_fault(target, source))
    }

    fn metric_fault(&self, target: &Target, source: metrics::Error) -> Error {
        let id = target.id.clone();
        self.targets.fault(target, Fault::Metric { id, source })
    }

    /// Field that the benchmark needs, or an error that names it.
    fn needed<'t, T>(
        &self,
        target: &'t Target,
        field: &'static str,
        value: Option<&'t T>,
    ) -> Result<&'t T> {
        value.ok_or_else(|| {
            let (id, benchmark) = (target.id.clone(), self.benchmark.title());
            let fault = Fault::Lacks {
                id,
                field,
                benchmark,
            };
            self.targets.fault(target, fault)
        })
    }

    fn captions(&self, answers: &[Prediction]) -> Result<Vec<metrics::caption::CaptionSample>> {
        let mut pairs = Vec::with_capacity(answers.len());
        for (target, answer) in self.targets.rows().iter().zip(answers) {
            self.needed(target, "expressions", target.expressions.first())?;
            pairs.push((answer.text.clone(), target.expressions.as_slice()));
        }
        caption_samples(&pairs, &self.options.programs).map_err(Error::Scoring)
    }

    fn few_shot(&self) -> Result<ScoreTable> {
        let mut folds = BTreeMap::<usize, BTreeSet<usize>>::new();
        let mut numbers = BTreeMap::<&str, usize>::new();
        for target in self.targets.rows() {
            let fold = *self.needed(target, "fold", target.fold.as_ref())?;
            let category = self.needed(target, "category", target.category.as_ref())?;
            let next = numbers.len();
            let classes = folds.entry(fold).or_default();
            classes.insert(*numbers.entry(category).or_insert(next));
            let most = self.benchmark.classes();
            if classes.len() > most {
                let (id, benchmark) = (target.id.clone(), self.benchmark.title());
                let fault = Fault::Classes {
                    id,
                    fold,
                    most,
                    benchmark,
                };
                return Err(self.targets.fault(target, fault));
            }
        }
        let metric = FewShot::new(folds);
        let mut table = self.each(&metric, |target, answer| {
            let class = target
                .category
                .as_ref()
                .and_then(|c| numbers.get(c.as_str()));
            Ok(Episode {
                fold: target.fold.unwrap_or_default(),
                class: class.copied().unwrap_or_default(),
                overlap: self.overlap(target, answer)?,
            })
        })?;
        let few = metric
            .folds()
            .iter()
            .filter(|(_, c)| c.len() < self.benchmark.classes());
        table.notes.extend(few.map(|(fold, classes)| {
            format!(
                "Fold {fold} has {} of its {} classes in these targets; means are over those. The reference counts the \
                 others as 0.",
                classes.len(),
                self.benchmark.classes()
            )
        }));
        Ok(table)
    }

    /// Batches of videos, in the order of their first frames.
    fn batches(&self, answers: &[Prediction]) -> Result<Vec<Batch>> {
        let (mut places, mut videos) = (BTreeMap::<&str, usize>::new(), Vec::<Vec<Frame>>::new());
        for (target, answer) in self.targets.rows().iter().zip(answers) {
            let video = self.needed(target, "video", target.video.as_ref())?;
            let place = *places.entry(video).or_insert(videos.len());
            if place == videos.len() {
                videos.push(Vec::new());
            }
            videos[place].push(self.frame(target, answer)?);
        }
        let batches = videos.chunks(self.options.videos.max(1));
        Ok(batches
            .filter_map(|videos| Batch::new(&videos.concat()))
            .collect())
    }

    fn frame(&self, target: &Target, answer: &Prediction) -> Result<Frame> {
        let soft = answer.soft.as_ref().map(|path| {
            image::open(path)
                .map(|picture| SoftMask::from_levels(picture.into_luma8().into_raw()))
                .map_err(|error| Error::Line {
                    path: self.predictions.to_owned(),
                    line: answer.line,
                    fault: Box::new(Fault::Soft {
                        id: answer.id.clone(),
                        path: path.clone(),
                        reason: error.to_string(),
                    }),
                })
        });
        let soft = soft.transpose()?;
        let frame = || {
            let predicted = united(&answer.rles(), target.size)?;
            Frame::new(
                &predicted,
                soft.as_ref(),
                &united(&target.masks, target.size)?,
            )
        };
        frame().map_err(|source| self.metric_fault(target, source))
    }
}
