//! Plan of a run: parameters, memory and operations by arithmetic, without computation.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use anyref_core::AnyRefConfig;
use anyref_weights::{local_path, parameters};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use regex::Regex;

use super::context::{Folders, RunContext};
use super::error::Result;
use super::frozen_blocks;
use super::initial_weights::trained_names;
use super::module_path;
use crate::config::{StageConfig, StageKind, TrainConfig};
use crate::stages::{DataQuestions, DataSources};
use crate::trainee::Trainee;
use anyref_data::scenes::Split;

/// Bytes of a weight, of a gradient, and of each of AdamW's two moments.
const BYTES: usize = 4;
/// Bytes of a weight or value in half precision.
const HALF: usize = 2;
/// Tokens of a question and its answer, without the picture's, for the estimate of operations.
const WORDS: usize = 64;

/// Plan of a run, stage by stage.
#[derive(Debug)]
pub struct Plan {
    /// Plans of the stages in order.
    pub stages: Vec<StagePlan>,
    /// Missing files that the run needs: the model to start from, data sets.
    pub lacking: Vec<String>,
}

/// Plan of a stage.
#[derive(Debug)]
pub struct StagePlan {
    /// Task of the stage.
    pub kind: StageKind,
    /// Optimizer steps.
    pub steps: u64,
    /// Scenes or questions an optimizer step.
    pub batch: u64,
    /// Parts of the model, and the heads.
    pub parts: Vec<PartPlan>,
    /// Data sets with the number of their items (or pictures, when those are counted) and of their
    /// questions an epoch.
    pub data: Vec<(String, usize, usize)>,
    /// Floating-point operations of an optimizer step, for stages of instructions: the matrix
    /// products of the encoders and the language model, for one question a picture.
    pub operations: Option<f64>,
    /// Bytes of the activations that the language model keeps for the backward pass of a
    /// micro-batch, for stages of instructions.
    pub activations: Option<f64>,
}

/// Plan of a part of the model.
#[derive(Debug, Default)]
pub struct PartPlan {
    /// Field of the part.
    pub name: String,
    /// Number of its parameters.
    pub parameters: usize,
    /// Number of its trained parameters.
    pub trained: usize,
    /// Number of parameters held in half precision only, because no stage trains them and the run
    /// can read them again.
    pub narrow: usize,
    /// Number of parameters with a copy in half precision.
    pub copied: usize,
    /// Number of parameters with an EMA.
    pub averaged: usize,
    /// Parameters that are kept in blocks.
    pub in_blocks: usize,
    /// Bytes of these.
    pub block_bytes: u64,
}

impl PartPlan {
    /// Bytes of weights, in blocks or not, and their copies, moving averages, gradients and
    /// moments.
    pub fn bytes(&self) -> usize {
        let wide = self.parameters - self.narrow - self.in_blocks;
        BYTES * (wide + 3 * self.trained + self.averaged)
            + HALF * (self.narrow + self.copied)
            + self.block_bytes as usize
    }
}

impl Plan {
    /// Counts the parameters, and reads the data sets that exist.
    ///
    /// # Errors
    /// When the configuration would stop the run at its start.
    pub fn new<B: AutodiffBackend>(
        config: &TrainConfig,
        folders: &Folders,
        device: &B::Device,
    ) -> Result<Self> {
        config.check()?;
        let mut lacking = Vec::new();
        let absent = match &config.start {
            Some(start) if !config.needs_scenes() => !local_path(start)?.is_dir(),
            _ => false,
        };
        let (model, names) = match absent {
            // Sizes come from the configuration.
            true => (config.model_from(config.model.clone())?, 1),
            false => {
                let context = RunContext::open::<B::InnerBackend>(config, folders)?;
                (context.stage().model.clone(), context.name_count())
            }
        };
        if let (true, Some(start)) = (absent, &config.start) {
            let start = start.display();
            lacking.push(format!(
                "`start`: there is no model folder {start}: sizes are those of the configuration"
            ));
        }
        let model = &model;
        let trainee = Trainee::<B>::with_adapters(model, names, device)?;
        frozen_blocks::check(config, &trainee)?;
        let blocks = frozen_blocks::bytes_in_blocks(config, &trainee);
        let narrow = narrow(config, &trainee)?;
        let stages = config.stages.iter().map(|stage| {
            let parts = parts(&trainee, stage, &narrow, &blocks)?;
            let mut data = Vec::new();
            if let Some(sources) = &stage.data {
                let opened = match DataSources::open(sources, config.seed) {
                    Ok(opened) => Some(opened),
                    Err(error) => {
                        let problems = DataSources::problems(sources, config.seed);
                        match problems.is_empty() {
                            // The error concerns the data sets together, or the templates.
                            true => lacking.push(error.to_string()),
                            false => lacking.extend(problems.iter().map(ToString::to_string)),
                        }
                        None
                    }
                };
                for split in [Split::Train, Split::Validation] {
                    let opened = opened.as_ref().and_then(|opened| opened.of(split));
                    data.extend(opened.into_iter().flat_map(DataQuestions::contents));
                }
            }
            Ok(StagePlan {
                kind: stage.kind,
                steps: stage.steps,
                batch: stage.batch as u64 * stage.accumulation,
                operations: (stage.kind == StageKind::Instruct)
                    .then(|| operations(model, stage, &parts)),
                activations: (stage.kind == StageKind::Instruct)
                    .then(|| activations(model, stage, questions(config, stage))),
                parts,
                data,
            })
        });
        let stages = stages.collect::<Result<_>>()?;
        Ok(Self { stages, lacking })
    }
}

/// Paths of the parameters held in half precision only.
fn narrow<B: AutodiffBackend>(
    config: &TrainConfig,
    trainee: &Trainee<B>,
) -> Result<BTreeSet<String>> {
    if config.common_half().is_none() {
        return Ok(BTreeSet::new());
    }
    let trained = trained_names(trainee, &config.stages)?;
    let given = |name: &str| {
        let Some(name) = name.strip_prefix("anyref.") else {
            return false;
        };
        let mut parts = config.initial.iter().flat_map(|initial| &initial.parts);
        config.start.is_some() && !name.contains(".lora_")
            || parts.any(|part| {
                let rest = name.strip_prefix(part.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
    };
    let known = parameters::<B, _>(trainee).into_iter();
    Ok(known
        .filter(|(name, _)| given(name) && !trained.contains(name))
        .map(|(_, parameter)| parameter.path)
        .collect())
}

/// Counts of parameters by part.
fn parts<B: AutodiffBackend>(
    trainee: &Trainee<B>,
    stage: &StageConfig,
    narrow: &BTreeSet<String>,
    blocks: &BTreeMap<String, u64>,
) -> Result<Vec<PartPlan>> {
    let trainable = stage.trainable_patterns()?;
    let mut count = Count {
        matched: vec![false; trainable.len()],
        trainable,
        half: stage.precision.half().is_some(),
        averages: stage.ema_decay.is_some(),
        narrow,
        blocks,
        path: Vec::new(),
        parts: Vec::new(),
    };
    trainee.visit(&mut count);
    let idle = count.matched.iter().position(|matched| !matched);
    match idle {
        Some(pattern) => Err(stage.idle_pattern(pattern).into()),
        None => Ok(count.parts),
    }
}

struct Count<'a> {
    trainable: Vec<Regex>,
    /// Whether each pattern has matched a parameter.
    matched: Vec<bool>,
    /// Whether the model is computed in half precision.
    half: bool,
    /// Whether there is an EMA of the trained weights.
    averages: bool,
    /// Paths of the parameters held in half precision only.
    narrow: &'a BTreeSet<String>,
    /// Bytes of parameters that are kept in blocks, by path.
    blocks: &'a BTreeMap<String, u64>,
    path: Vec<String>,
    parts: Vec<PartPlan>,
}

impl<B: Backend> ModuleVisitor<B> for Count<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        module_path::enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        module_path::exit(&mut self.path, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let path = self.path.join(".");
        let model = self.path.first().is_some_and(|name| name == "anyref");
        let part = self.path.get(usize::from(model));
        let part = part.map_or("", String::as_str);
        let count = param.lazy_shape().num_elements();
        if self.parts.last().is_none_or(|last| last.name != part) {
            self.parts.push(PartPlan {
                name: part.to_owned(),
                ..Default::default()
            });
        }
        let mut trained = false;
        for (pattern, matched) in self.trainable.iter().zip(&mut self.matched) {
            let matches = pattern.is_match(&path);
            *matched |= matches;
            trained |= matches;
        }
        if let Some(last) = self.parts.last_mut() {
            last.parameters += count;
            if trained {
                last.trained += count;
                last.averaged += count * usize::from(self.averages);
            }
            if let Some(bytes) = self.blocks.get(&path) {
                last.in_blocks += count;
                last.block_bytes += bytes;
            } else if self.narrow.contains(&path) {
                last.narrow += count;
            } else if model && self.half {
                last.copied += count;
            }
        }
    }
}

/// Floating-point operations of a step: two for each weight and position in the forward pass; the
/// language model's weights count once more for the gradient through it, its trained weights once
/// more for their own gradient, and recomputed layers once more.
fn operations(model: &AnyRefConfig, stage: &StageConfig, parts: &[PartPlan]) -> f64 {
    let of = |name: &str| {
        let part = parts.iter().find(|part| part.name == name);
        part.map_or([0.0; 2], |part| {
            [part.parameters, part.trained].map(|n| n as f64)
        })
    };
    let prompts = model.prompt_encoder.as_ref();
    let grid = prompts.map_or(0, |prompts| prompts.image_embedding_size.pow(2)) as f64;
    let tokens = (model.image_tokens() + WORDS) as f64;
    let [clip, _] = of("vision_tower");
    let [sam, _] = of("image_encoder");
    let [llm, trained] = of("llm");
    let picture = clip * model.vision_tower.most_positions() as f64 + sam * grid;
    let layers = model.llm.num_hidden_layers as f64;
    let again = match stage.recompute_layers {
        true => llm * (layers - 1.0) / layers,
        false => 0.0,
    };
    let words = (2.0 * llm + trained + again) * tokens;
    2.0 * (picture + words) * (stage.batch as u64 * stage.accumulation) as f64
}

/// Number of questions a picture.
fn questions(config: &TrainConfig, stage: &StageConfig) -> usize {
    match stage.data {
        Some(_) => 1,
        None => config.instructions.per_scene,
    }
}

/// Bytes of activations. Each decoder layer keeps for a position: its input before and after both
/// norms, queries, keys, values, the attention output twice (once in the layout of the output
/// projection), and three vectors of the feed-forward network. With recomputed layers, these are
/// kept for one layer at a time, and only the input for the others. A picture is read once for all
/// questions about it. Parallel micro-batches each keep their own.
fn activations(model: &AnyRefConfig, stage: &StageConfig, questions: usize) -> f64 {
    let llm = &model.llm;
    let layers = llm.num_hidden_layers;
    let whole = match stage.recompute_layers {
        true => layers.min(1),
        false => layers,
    };
    let kept = whole * (9 * llm.hidden_size + 3 * llm.intermediate_size)
        + (layers - whole) * llm.hidden_size;
    let positions = stage.batch * (model.image_tokens() + questions * WORDS);
    let at_once = match stage.parallel {
        true => stage.accumulation as usize,
        false => 1,
    };
    let bytes = match stage.precision.half() {
        Some(_) => HALF,
        None => BYTES,
    };
    (bytes * kept * positions * at_once) as f64
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, stage) in self.stages.iter().enumerate() {
            let StagePlan {
                kind, steps, batch, ..
            } = stage;
            writeln!(f, "stage {index}: {kind}, {steps} steps of {batch}")?;
            writeln!(
                f,
                "  {:<20} {:>14} {:>14} {:>10}",
                "part", "parameters", "trained", "memory"
            )?;
            let mut all = PartPlan::default();
            for part in &stage.parts {
                line(f, part)?;
                all.parameters += part.parameters;
                all.trained += part.trained;
                all.narrow += part.narrow;
                all.copied += part.copied;
                all.averaged += part.averaged;
                all.in_blocks += part.in_blocks;
                all.block_bytes += part.block_bytes;
            }
            all.name = "all".into();
            line(f, &all)?;
            if all.in_blocks > 0 {
                writeln!(
                    f,
                    "  {} parameters of the language model in blocks: {:.2} GB",
                    all.in_blocks,
                    all.block_bytes as f64 / 1e9
                )?;
            }
            if let Some(operations) = stage.operations {
                writeln!(f, "  about {:.3} TFLOP a step", operations / 1e12)?;
            }
            if let Some(activations) = stage.activations {
                let gigabytes = activations / 1e9;
                writeln!(
                    f,
                    "  about {gigabytes:.2} GB of the language model's activations at once: {:.1} GB with the above",
                    gigabytes + all.bytes() as f64 / 1e9
                )?;
            }
            for (name, items, questions) in &stage.data {
                writeln!(f, "  {name}: {items} items, {questions} questions an epoch")?;
            }
        }
        write!(
            f,
            "memory is that of weights, their running mean where one is kept, gradients and AdamW's moments in 32 bits, and of copies \
             in half precision, which alone are there of what the run starts from and never trains; the encoders' and the mask decoder's activations come on top, and on GPUs the scores of attention; \
             checkpoints hold what is trained, with a running mean twice, and what the run's start has not"
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, part: &PartPlan) -> fmt::Result {
    writeln!(
        f,
        "  {:<20} {:>14} {:>14} {:>7.2} GB",
        part.name,
        part.parameters,
        part.trained,
        part.bytes() as f64 / 1e9
    )
}
