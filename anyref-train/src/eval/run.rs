//! Asks a model about the test split.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use anyref_core::{Answer, AnyRef, Prompt, Reference};
use anyref_decoder::rle::{Merge, Rle};
use burn::tensor::backend::Backend;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};

use super::case::{Case, EvalKind};
use super::details::details;
use super::disturbance::Disturbance;
use super::picture::{case_picture, contact_sheet};
use super::report::table;
use super::scores::scores;
use crate::data::phrases::Expression;
use crate::data::{
    Instruction, InstructionConfig, KindWeights, Mask, ReferenceData, Scene, Scenes,
};

/// How to evaluate.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// What to evaluate.
    pub kinds: Vec<EvalKind>,
    /// Cases a kind.
    pub cases: usize,
    /// Where predictions, table and pictures go; an evaluation begun there is continued.
    pub out: PathBuf,
    /// What identifies the model; another one may not continue an evaluation.
    pub model: String,
    /// How the questions are made.
    pub instructions: InstructionConfig,
    /// What is done to the pictures and sounds before the model gets them.
    pub disturbance: Option<Disturbance>,
}

impl EvalOptions {
    /// What may not change when an evaluation is continued.
    fn identity(&self) -> String {
        match self.disturbance {
            Some(disturbance) => format!("{}, {}", self.model, disturbance.name()),
            None => self.model.clone(),
        }
    }
}

/// Worst cases shown a kind.
const WORST: usize = 12;
/// After so many scenes in a row without an occasion for a question the data set has none.
const PATIENCE: u64 = 2_000;

/// Runs or continues an evaluation; returns all cases. Writes `predictions.jsonl`, `table.md`,
/// `details.md` and `worst-KIND.png` into `options.out`.
pub fn evaluate<B: Backend>(
    anyref: &AnyRef<B>,
    scenes: &Scenes,
    options: &EvalOptions,
) -> Result<Vec<Case>> {
    std::fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot create {}", options.out.display()))?;
    check_model(&options.out, &options.identity())?;
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
    for &kind in &options.kinds {
        bar.set_prefix(kind.name());
        let done: HashSet<u64> = cases
            .iter()
            .filter(|case| case.kind == kind)
            .map(|case| case.scene)
            .collect();
        let (mut made, mut empty) = (0, 0);
        for index in 0.. {
            if made == options.cases || empty == PATIENCE {
                break;
            }
            if done.contains(&index) {
                made += 1;
                bar.inc(1);
                continue;
            }
            let scene = scenes.scene(kind.split(), index);
            let Some(instruction) = question(scenes, &scene, kind, &options.instructions) else {
                empty += 1;
                continue;
            };
            empty = 0;
            let given = disturbed(&scene, &instruction, options.disturbance);
            let asked = (&scene, &instruction);
            let case = ask(anyref, scenes, asked, given, (kind, index))?;
            writeln!(log, "{}", serde_json::to_string(&case)?)?;
            cases.push(case);
            made += 1;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    write_worst(scenes, &cases, options)?;
    std::fs::write(options.out.join("table.md"), table(&scores(&cases)))?;
    std::fs::write(options.out.join("details.md"), details(&cases))?;
    Ok(cases)
}

/// The one question of a kind about a scene.
fn question(
    scenes: &Scenes,
    scene: &Scene,
    kind: EvalKind,
    config: &InstructionConfig,
) -> Option<Instruction> {
    let config = InstructionConfig {
        per_scene: 1,
        weights: KindWeights::only(kind.question()),
        // Descriptions are scored by their words.
        describe_mask_probability: 0.0,
        ..config.clone()
    };
    scenes.instructions(scene, &config, 0).into_iter().next()
}

/// The picture and the references as the model gets them.
fn disturbed(
    scene: &Scene,
    instruction: &Instruction,
    disturbance: Option<Disturbance>,
) -> (RgbImage, Vec<Reference>) {
    let references = instruction
        .references
        .iter()
        .map(|reference| match (reference, disturbance) {
            (ReferenceData::Audio(samples), Some(disturbance)) => {
                ReferenceData::Audio(disturbance.sound(samples, scene.seed)).to_reference()
            }
            _ => reference.to_reference(),
        })
        .collect();
    let image = match disturbance {
        Some(disturbance) => disturbance.picture(&scene.image, scene.seed),
        None => scene.image.clone(),
    };
    (image, references)
}

fn ask<B: Backend>(
    anyref: &AnyRef<B>,
    scenes: &Scenes,
    (scene, instruction): (&Scene, &Instruction),
    (image, references): (RgbImage, Vec<Reference>),
    (kind, index): (EvalKind, u64),
) -> Result<Case> {
    let picture = anyref.picture(&image)?;
    let prompt = Prompt::new(references).with_question(instruction.question.clone());
    let answer = anyref.segment(&picture, &prompt)?;

    let size = [scene.image.height() as usize, scene.image.width() as usize];
    let predicted = if answer.masks.is_empty() {
        Rle::from_mask(&vec![false; size[0] * size[1]], size)?
    } else {
        Rle::merge(answer.masks.iter().map(|mask| &mask.rle), Merge::Union)?
    };
    let truth = true_mask(scene, instruction);
    let truth = Rle::from_mask(
        &truth.to_bytes().iter().map(|&b| b > 0).collect::<Vec<_>>(),
        size,
    )?;
    let intersection = predicted.intersection(&truth)?;
    let described = Described::of(scenes, scene, instruction, &answer);
    Ok(Case {
        kind,
        scene: index,
        question: instruction.question.clone(),
        expected: instruction.answer.clone(),
        masks: answer.masks.len(),
        counts: predicted.to_compressed(),
        size,
        intersection,
        union: predicted.area() + truth.area() - intersection,
        predicted: predicted.area(),
        truth: truth.area(),
        score: answer.masks.iter().map(|mask| mask.score).sum::<f32>()
            / answer.masks.len().max(1) as f32,
        objects: scene.objects.len(),
        visible: visible(scene, instruction),
        noun_right: described.as_ref().map(|d| d.noun_right),
        expression_right: described.as_ref().map(|d| d.expression_right),
        said_noun: described.as_ref().and_then(|d| d.said_noun.clone()),
        noun: described.map(|d| d.noun),
        answer: answer.raw,
    })
}

/// The true masks of all targets united.
fn true_mask(scene: &Scene, instruction: &Instruction) -> Mask {
    let mut mask = Mask::new(scene.image.width() as usize, scene.image.height() as usize);
    for target in &instruction.targets {
        mask.union_with(&target.mask(scene));
    }
    mask
}

/// The least share of a target that is seen.
fn visible(scene: &Scene, instruction: &Instruction) -> Option<f32> {
    let objects = instruction
        .targets
        .iter()
        .flat_map(|target| &target.objects);
    objects
        .map(|&object| scene.objects[object].visible)
        .reduce(f32::min)
}

/// What was said of a described object.
struct Described {
    noun: String,
    said_noun: Option<String>,
    /// Whether the description has the right noun.
    noun_right: bool,
    /// Whether it fits the object and no other.
    expression_right: bool,
}

impl Described {
    fn of(
        scenes: &Scenes,
        scene: &Scene,
        instruction: &Instruction,
        answer: &Answer,
    ) -> Option<Self> {
        let object = instruction.described?;
        let said = answer.text.trim_end_matches('.').trim();
        let noun = scene.objects[object].noun.clone();
        // "dog left of the drum" has the noun dog: what stands before a relation counts.
        let head = [
            " left of the ",
            " right of the ",
            " above the ",
            " below the ",
        ]
        .iter()
        .fold(said, |head, relation| {
            head.split(relation).next().unwrap_or(head)
        });
        let has = |noun: &str| format!(" {head} ").contains(&format!(" {noun} "));
        let noun_right = has(&noun);
        // Of "fire engine" and "engine" the longer.
        let nouns = scenes.library().nouns(false).iter();
        let said_noun = match noun_right {
            true => Some(noun.clone()),
            false => nouns
                .filter(|noun| has(noun))
                .max_by_key(|noun| noun.len())
                .cloned(),
        };
        Some(Self {
            noun,
            said_noun,
            noun_right,
            expression_right: Expression::all_for(scene, object)
                .iter()
                .any(|e| e.text() == said),
        })
    }
}

/// Draws the worst cases of every kind that has masks.
fn write_worst(scenes: &Scenes, cases: &[Case], options: &EvalOptions) -> Result<()> {
    for &kind in &options.kinds {
        let mut own: Vec<&Case> = cases.iter().filter(|case| case.kind == kind).collect();
        own.sort_by(|a, b| a.quality().total_cmp(&b.quality()));
        let pictures: Vec<_> = own
            .iter()
            .take(WORST)
            .filter_map(|case| {
                let scene = scenes.scene(kind.split(), case.scene);
                let instruction = question(scenes, &scene, kind, &options.instructions)?;
                Some(case_picture(&scene, &true_mask(&scene, &instruction), case))
            })
            .collect();
        if !pictures.is_empty() {
            let file = options.out.join(format!("worst-{}.png", kind.name()));
            contact_sheet(&pictures, 4)
                .save(&file)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

/// Refuses to mix two models' predictions.
pub(super) fn check_model(out: &Path, model: &str) -> Result<()> {
    let file = out.join("model.txt");
    match std::fs::read_to_string(&file) {
        Ok(other) if other != model => bail!(
            "{} holds an evaluation of another model ({other}): give another --out",
            out.display()
        ),
        Ok(_) => Ok(()),
        Err(_) => Ok(std::fs::write(&file, model)?),
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
                std::fs::write(file, whole)?;
            }
            Err(error) => bail!("{} line {}: {error}", file.display(), number + 1),
        }
    }
    Ok(cases)
}
