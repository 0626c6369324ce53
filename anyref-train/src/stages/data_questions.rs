//! Questions of published data sets, and of your own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyref_core::Question;
use rayon::prelude::*;

use super::context::StageContext;
use super::example::{Asked, Example, ExampleReference, ExampleTarget};
use crate::config::DataConfig;
use crate::stage_error::StageError;
use anyref_data::datasets::{
    self, Item, Mixture, Order, Reference, Sample, Task, Templates, WeightedSource, check_files,
};
use anyref_data::scenes::OBJECT;
use anyref_data::scenes::mix;
use anyref_data::scenes::{Kind, Split};

/// Number of items tried in place of one that cannot be used because its sound is silent or its
/// files are damaged.
const TRIES: u64 = 16;
/// Number of skipped items that are logged by name; of the others only the count is logged.
const NAMED: usize = 10;

/// Data sets of a stage.
#[derive(Debug)]
pub(crate) struct DataSources {
    train: DataQuestions,
    /// Data sets for validation; `None` if the configuration names none.
    validation: Option<DataQuestions>,
}

impl DataSources {
    /// Opens the data sets.
    ///
    /// # Errors
    /// As [`DataQuestions::open`].
    pub(crate) fn open(config: &DataConfig, seed: u64) -> Result<Self, StageError> {
        let open = |sources| DataQuestions::open(config, sources, seed);
        Ok(Self {
            train: open(&config.train)?,
            validation: match config.validation.is_empty() {
                true => None,
                false => Some(open(&config.validation)?),
            },
        })
    }

    /// Errors of the data sets that cannot be used.
    pub(crate) fn problems(config: &DataConfig, seed: u64) -> Vec<datasets::Error> {
        let sources = config.train.iter().chain(&config.validation);
        let problem = |source: &WeightedSource| {
            let dataset = source.open(seed);
            dataset.and_then(|dataset| check_files(&*dataset)).err()
        };
        sources.filter_map(problem).collect()
    }

    /// Questions for training or validation.
    pub(crate) fn of(&self, split: Split) -> Option<&DataQuestions> {
        match split {
            Split::Train => Some(&self.train),
            _ => self.validation.as_ref(),
        }
    }
}

/// Mixture of data sets as questions, one a picture, in an order that the seed decides.
#[derive(Debug)]
pub struct DataQuestions {
    mixture: Mixture,
    templates: Templates,
    describe_mask_probability: f64,
    /// Order of the most recently read epoch.
    epoch: Mutex<Option<(u64, Arc<Order>)>>,
    /// Damaged items found so far, by data set and index.
    damaged: Mutex<BTreeSet<(usize, usize)>>,
}

impl DataQuestions {
    /// Opens data sets. Every file that they may need must exist.
    ///
    /// # Errors
    /// When annotations or templates cannot be read, or files are missing.
    pub fn open(
        config: &DataConfig,
        sources: &[WeightedSource],
        seed: u64,
    ) -> Result<Self, StageError> {
        let mut parts = Vec::with_capacity(sources.len());
        for source in sources {
            let dataset = source.open(seed)?;
            let weight = source.weight.unwrap_or(dataset.len() as f64);
            parts.push((dataset, weight));
        }
        let items = parts.iter().map(|(dataset, _)| dataset.len()).sum();
        let mixture = Mixture::new(parts, config.epoch.unwrap_or(items), seed)?;
        mixture.check_files()?;
        Ok(Self {
            mixture,
            templates: match &config.templates {
                Some(path) => Templates::open(path)?,
                None => Templates::paper()?,
            },
            describe_mask_probability: config.describe_mask_probability,
            epoch: Mutex::new(None),
            damaged: Mutex::default(),
        })
    }

    /// Data sets with the number of their items (or pictures, when those are counted) and of their
    /// questions an epoch.
    pub fn contents(&self) -> Vec<(String, usize, usize)> {
        let datasets = self.mixture.datasets().iter();
        datasets
            .zip(self.mixture.counts())
            .map(|(dataset, &questions)| (dataset.name().to_owned(), dataset.len(), questions))
            .collect()
    }

    /// Number of questions in an epoch.
    pub fn len(&self) -> usize {
        self.mixture.len()
    }

    /// Returns whether there are no questions; never true.
    pub fn is_empty(&self) -> bool {
        self.mixture.is_empty()
    }

    /// Questions of a step of `count`, read from their files on several threads.
    ///
    /// # Errors
    /// When several consecutive items cannot be used, because their files are damaged or their
    /// sounds silent, and when the model has no audio encoder or a template does not fit an item.
    pub fn asked(
        &self,
        context: &StageContext,
        step: u64,
        count: usize,
    ) -> Result<Vec<Asked>, StageError> {
        let first = step * count as u64;
        let samples = (first..first + count as u64)
            .map(|place| self.sample(place))
            .collect::<Result<Vec<_>, StageError>>()?;
        samples
            .into_par_iter()
            .map(|sample| self.readable(context, sample))
            .collect()
    }

    /// Sample at a place in the sequence of all epochs.
    fn sample(&self, place: u64) -> Result<Sample, StageError> {
        let length = self.mixture.len() as u64;
        let (epoch, place) = (place / length, (place % length) as usize);
        let mut known = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let order = match &*known {
            Some((known, order)) if *known == epoch => order.clone(),
            _ => Arc::new(self.mixture.order(epoch, 0, 1)?),
        };
        *known = Some((epoch, order.clone()));
        Ok(order.samples[place])
    }

    /// Question of a sample, or of a nearby one if it cannot be used: one damaged file among a
    /// hundred thousand must not end a run.
    fn readable(&self, context: &StageContext, sample: Sample) -> Result<Asked, StageError> {
        let dataset = &self.mixture.datasets()[sample.dataset];
        let tries = TRIES.min(dataset.len() as u64);
        let mut refused = None;
        for again in 0..tries {
            let sample = Sample {
                index: (sample.index + again as usize) % dataset.len(),
                draw: sample.draw.wrapping_add(again),
                ..sample
            };
            let asked = self.mixture.item(sample).map_err(damaged);
            let asked = asked.and_then(|item| {
                let example = self.example(context, &item, sample.draw);
                example.map_err(|error| StageError::Item {
                    dataset: dataset.name().to_owned(),
                    id: item.id,
                    source: Box::new(error),
                })
            });
            match asked {
                Err(error) if error.is_damaged() => {
                    self.tell(sample, &error);
                    refused = Some(error);
                }
                // Silent sounds are expected, and not logged.
                Err(error) if error.is_unheard() => refused = Some(error),
                asked => return asked,
            }
        }
        let name = dataset.name().to_owned();
        Err(match refused {
            Some(error) => StageError::ItemsInARow {
                dataset: name,
                count: tries,
                first: sample.index,
                source: Box::new(error),
            },
            None => StageError::NoItems { dataset: name },
        })
    }

    /// Logs once that an item is skipped.
    fn tell(&self, sample: Sample, error: &StageError) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if !damaged.insert((sample.dataset, sample.index)) {
            return;
        }
        let count = damaged.len();
        if count <= NAMED {
            log::warn!("passed over: {error}");
        } else if count.is_power_of_two() {
            log::warn!("passed over: {count} items so far");
        }
    }

    fn example(&self, context: &StageContext, item: &Item, draw: u64) -> Result<Asked, StageError> {
        let conversation = self.templates.conversation(item, draw);
        // Texts are part of the question already.
        let references = item
            .references
            .iter()
            .filter(|reference| !matches!(reference, Reference::Text(_)))
            .map(|reference| item.open_reference(reference))
            .collect::<Result<Vec<_>, _>>()
            .map_err(damaged)?;
        let prepared = references
            .iter()
            .map(|reference| ExampleReference::new(context, reference))
            .collect::<Result<Vec<_>, StageError>>()?;
        let mut answer = conversation.answer;
        let mut masks = item.masks().map_err(damaged)?;
        if item.task == Task::Describe && item.answer.is_none() {
            if masks.len() == 1 && self.points(draw) {
                let words = answer.trim_end_matches('.').len();
                answer.insert_str(words, OBJECT);
            } else {
                masks.clear();
            }
        }
        let targets = masks.into_iter().map(|mask| ExampleTarget {
            mask,
            name: None,
            all_of_name: false,
        });
        let example = Example {
            kind: kind(item),
            question: Question::build(&conversation.question, &references)?,
            references: prepared,
            answer,
            name_learned: true,
            targets: targets.collect(),
            absent: None,
            reference_name: None,
        };
        Ok(Asked {
            image: item.open_picture().map_err(damaged)?,
            examples: vec![example],
        })
    }

    /// Returns whether a description is followed by a mask.
    fn points(&self, draw: u64) -> bool {
        let share = mix(draw ^ 0x6f62_6a65) as f64 / u64::MAX as f64;
        share < self.describe_mask_probability
    }
}

/// The error of an item's own files.
fn damaged(source: datasets::Error) -> StageError {
    StageError::Damaged { source }
}

fn kind(item: &Item) -> Kind {
    let others = item.references.iter();
    let others = others.filter(|reference| !matches!(reference, Reference::Text(_)));
    match item.task {
        Task::Describe => Kind::BoxToText,
        _ if item.targets.is_empty() => Kind::Absent,
        _ if item.references.len() > 1 && others.count() > 0 => Kind::Mixed,
        Task::Text | Task::Semantic => Kind::Text,
        Task::Image => Kind::Image,
        Task::Audio => Kind::Audio,
    }
}
