//! Evaluation of a model on the items of a published data set.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyref_core::{Answer, AnyRef, PicturePreprocessor, Prompt, QuestionForm};
use anyref_data::datasets::{self, Dataset, Item, Task, Templates, check_files};
use anyref_weights::write_atomic;
use burn::tensor::backend::Backend;
use serde_json::Value;

use super::batching::{Group, QuestionBatches};
use super::error::{Error, Result};
use super::files::{Prediction, ScoredMask, Target};
use super::prefetch::prefetch;
use super::progress::{Counter, Progress};
use super::records::Records;
use super::refusal::or_refused;
use super::settings::check_settings;
use super::throughput::{Stopwatch, Throughput};

/// Options of an evaluation on a published data set.
#[derive(Debug, Clone)]
pub struct DatasetOptions {
    /// Whether boxes are described, skipping other items; or objects segmented, skipping boxes.
    pub describe: bool,
    /// Fold of classes in the data set, when scores are by fold.
    pub fold: Option<usize>,
    /// Largest number of items to ask about, skipping those with missing files. `None` asks about
    /// all and treats missing files as an error.
    pub limit: Option<usize>,
    /// Questions in a batch, at least 1.
    pub batch: usize,
    /// Folder of `targets.jsonl` and `predictions.jsonl`; an evaluation begun there is resumed.
    pub out: PathBuf,
    /// Settings that may not change when an evaluation is resumed: data set, model and decoding.
    pub settings: String,
}

/// Files of questions and answers, as [`score_files`](super::score_files) takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Path of the targets.
    pub targets: PathBuf,
    /// Path of the predictions.
    pub predictions: PathBuf,
    /// Number of items asked about.
    pub items: usize,
    /// Number of items skipped because a file is missing, with the first such file.
    pub incomplete: Option<(usize, PathBuf)>,
    /// Speed, counting only the questions that were not answered before.
    pub throughput: Throughput,
}

/// Asks about the items of a data set, in order. A picture is encoded once for all consecutive
/// questions about it, and files are read ahead while the model computes. A question that the model
/// refuses, such as a silent sound, counts as answered without masks and words. `progress` is
/// called after each answer.
///
/// # Errors
/// When files are missing or damaged, the folder cannot be written, or no item is left to ask
/// about.
pub fn ask_dataset<B: Backend>(
    anyref: &AnyRef<B>,
    dataset: &dyn Dataset,
    options: &DatasetOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Asked> {
    if options.limit.is_none() {
        check_files(dataset).map_err(|source| Error::Incomplete { source })?;
    }
    fs::create_dir_all(&options.out).map_err(Error::create(&options.out))?;
    check_settings(&options.out, &options.settings)?;
    let Choice { items, incomplete } = chosen(dataset, options)?;
    let mut asked = Asked {
        targets: options.out.join("targets.jsonl"),
        predictions: options.out.join("predictions.jsonl"),
        items: items.len(),
        incomplete,
        throughput: Throughput::default(),
    };
    if items.is_empty() {
        let name = dataset.name().to_owned();
        return Err(match asked.incomplete.take() {
            Some((count, path)) => Error::NoFiles {
                dataset: name,
                count,
                path,
            },
            None => Error::NoItem {
                dataset: name,
                wanted: match options.describe {
                    true => "to be described",
                    false => "to be segmented",
                },
            },
        });
    }
    let done = begun(&asked, items.iter().map(|one| one.id.as_str()).collect())?;
    let mut targets = Records::append_to(&asked.targets)?;
    let mut predictions = Records::append_to(&asked.predictions)?;
    let counter = Counter::new(items.len(), progress);
    let left = items.iter().filter(|one| !done.contains(&one.id));
    counter.advance(dataset.name(), items.len() - left.clone().count());
    let left: Vec<&Chosen> = left.collect();
    let groups = left.chunk_by(|one, next| one.image == next.image);
    let groups = groups.flat_map(|group| group.chunks(QUESTIONS_AT_ONCE));
    let reader = Reader {
        dataset,
        options,
        templates: Templates::paper()?,
        form: anyref.config.prompts.questions,
        preprocessor: anyref.preprocessor(),
    };
    let batches = QuestionBatches {
        anyref,
        describe: options.describe,
        batch: options.batch,
    };
    let mut watch = Stopwatch::default();
    prefetch(
        groups,
        |group| reader.read(group),
        |groups| {
            batches.ask(groups, &mut watch, &mut |target: Target, answer| {
                counter.advance(dataset.name(), 1);
                targets.add(&target)?;
                predictions.add(&prediction(&target.id, answer))
            })
        },
    )?;
    asked.throughput = watch.throughput();
    Ok(asked)
}

/// Largest number of questions about one picture that are read at a time.
const QUESTIONS_AT_ONCE: usize = 32;

/// Reader of items, for any thread.
struct Reader<'a> {
    dataset: &'a dyn Dataset,
    options: &'a DatasetOptions,
    templates: Templates,
    /// Form of questions that the model was trained with.
    form: QuestionForm,
    preprocessor: PicturePreprocessor,
}

impl Reader<'_> {
    /// Reads the picture of some items, their questions and their targets.
    fn read(&self, chosen: &[&Chosen]) -> Result<Group<Target>> {
        let (mut pixels, mut questions) = (None, Vec::with_capacity(chosen.len()));
        for one in chosen {
            let item = self.dataset.item(one.index, 0)?;
            if pixels.is_none() {
                pixels = Some(self.preprocessor.process(&item.open_picture()?)?);
            }
            let prompt = or_refused(prompt(&item, &self.templates, self.form));
            let prompt = prompt.map_err(|source| Error::Item {
                dataset: self.dataset.name().to_owned(),
                id: item.id.clone(),
                source: Box::new(source),
            })?;
            questions.push((prompt, target(&item, self.options.fold)?));
        }
        let pixels = pixels.expect("a group has at least one item");
        Ok(Group { pixels, questions })
    }
}

/// Item to ask about.
struct Chosen {
    index: usize,
    id: String,
    image: Arc<Path>,
}

/// Items to ask about.
struct Choice {
    items: Vec<Chosen>,
    /// Number of items skipped because a file is missing, with the first such file.
    incomplete: Option<(usize, PathBuf)>,
}

/// Selects the items to ask about.
fn chosen(dataset: &dyn Dataset, options: &DatasetOptions) -> Result<Choice> {
    let limit = options.limit.unwrap_or(usize::MAX);
    let (mut items, mut incomplete) = (Vec::<Chosen>::new(), None::<(usize, PathBuf)>);
    let mut known = HashMap::<PathBuf, bool>::new();
    for index in 0..dataset.len() {
        if items.len() == limit {
            break;
        }
        // Some readers open pictures to build an item.
        let missing = match dataset.item(index, 0) {
            Ok(item) if (item.task == Task::Describe) != options.describe => continue,
            Ok(item) => {
                let missing = item.files().into_iter().find(|path| {
                    let there = known.entry(path.clone()).or_insert_with(|| path.is_file());
                    !*there
                });
                if missing.is_none() {
                    let last = items.last().filter(|last| *last.image == *item.image);
                    let image = last.map_or_else(|| item.image.into(), |last| last.image.clone());
                    let id = item.id;
                    items.push(Chosen { index, id, image });
                }
                missing
            }
            Err(error) => match error.missing_file() {
                Some(path) => Some(path.to_owned()),
                None => return Err(error.into()),
            },
        };
        if let Some(path) = missing {
            let (count, _) = incomplete.get_or_insert((0, path));
            *count += 1;
        }
    }
    Ok(Choice { items, incomplete })
}

/// Question about an item: its own, with texts inserted, or the model's usual one. Sentences are
/// asked about in the form of the model's training.
fn prompt(item: &Item, templates: &Templates, form: QuestionForm) -> Result<Prompt> {
    let usual = QuestionForm::AnyRef.sentence();
    if item.question.as_deref() == Some(usual) && form != QuestionForm::AnyRef {
        let question = Some(form.sentence().to_owned());
        let item = Item {
            question,
            ..item.clone()
        };
        return prompt(&item, templates, QuestionForm::AnyRef);
    }
    let placed = item.question.is_some();
    let left = |reference: &&datasets::Reference| {
        !placed || !matches!(reference, datasets::Reference::Text(_))
    };
    let references = item.references.iter().filter(left);
    let references = references.map(|r| Ok(item.open_reference(r)?));
    let prompt = Prompt::new(references.collect::<Result<Vec<_>>>()?);
    Ok(match placed {
        true => prompt.with_question(templates.conversation(item, 0).question),
        false => prompt,
    })
}

fn target(item: &Item, fold: Option<usize>) -> Result<Target> {
    let size = item.size.map(|side| side as usize);
    let masks = item.masks()?.into_iter().map(|mask| mask.to_rle());
    Ok(Target {
        id: item.id.clone(),
        image: Some(item.image.display().to_string()),
        size: [size[1], size[0]],
        masks: masks.collect::<Result<_, _>>()?,
        ignore: item
            .ignore
            .as_ref()
            .map(|shape| -> Result<_> { Ok(shape.rasterise(item.size)?.to_rle()?) })
            .transpose()?,
        expressions: item.expressions.clone(),
        category: item.category.clone(),
        fold,
        video: item.video.clone(),
        question: item.question.clone(),
        references: item.references.clone(),
        line: 0,
    })
}

fn prediction(id: &str, answer: Result<Answer, String>) -> Prediction {
    let (text, masks, refused) = match answer {
        Ok(answer) => (answer.text, answer.masks, None),
        Err(reason) => (String::new(), Vec::new(), Some(reason)),
    };
    let masks = masks.into_iter().map(|mask| ScoredMask {
        rle: mask.rle,
        score: Some(mask.score),
    });
    Prediction {
        id: id.to_owned(),
        text,
        masks: masks.collect(),
        no_target: None,
        soft: None,
        refused,
        line: 0,
    }
}

/// Identifiers among `asked_for` that an evaluation begun in the same folder has answered. Its
/// files are cut down to those answers: a kill may have left a target without its answer, or half a
/// line.
fn begun(asked: &Asked, asked_for: HashSet<&str>) -> Result<HashSet<String>> {
    let (targets, predictions) = (lines(&asked.targets)?, lines(&asked.predictions)?);
    let known: HashSet<&String> = targets.iter().map(|(id, _)| id).collect();
    let answered = predictions.iter().map(|(id, _)| id);
    let done: HashSet<String> = answered.filter(|id| known.contains(id)).cloned().collect();
    if let Some(id) = done.iter().find(|id| !asked_for.contains(id.as_str())) {
        return Err(Error::OtherQuestions {
            path: asked.predictions.clone(),
            id: id.clone(),
        });
    }
    for (path, lines) in [(&asked.targets, targets), (&asked.predictions, predictions)] {
        let kept = lines.into_iter().filter(|(id, _)| done.contains(id));
        let text: String = kept.map(|(_, line)| line + "\n").collect();
        write_atomic(path, text)?;
    }
    Ok(done)
}

/// Complete lines of a file with their identifiers; a line cut short by a kill is left out.
fn lines(path: &Path) -> Result<Vec<(String, String)>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(Error::read(path))?;
    let whole = text.lines().filter_map(|line| {
        let value: Value = serde_json::from_str(line).ok()?;
        Some((value, line))
    });
    let with_id = |(value, line): (Value, &str)| match value["id"].as_str() {
        Some(id) => Ok((id.to_owned(), line.to_owned())),
        None => Err(Error::NoAnswers {
            path: path.to_owned(),
        }),
    };
    whole.map(with_id).collect()
}
