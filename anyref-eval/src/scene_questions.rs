//! Questions about stamp scenes, and their outcomes.

use anyref_audio::Waveform;
use anyref_core::{Answer, PicturePreprocessor, Prompt, Reference};
use image::RgbImage;

use super::batching::Group;
use super::case::{Case, EvalKind};
use super::disturbance::Disturbance;
use super::error::Result;
use super::metrics::united;
use super::options::EvalOptions;
use anyref_data::scenes::phrases;
use anyref_data::scenes::{Instruction, InstructionConfig, KindWeights, Mask, Scene, Scenes};

/// Outcome at an index of scenes.
pub(super) enum Step {
    /// Question answered by an earlier run.
    Done,
    /// Scene that does not allow the question.
    Empty,
    /// Question to be asked.
    Question(Box<Group<Composed>>),
}

/// Scene with its question.
pub(super) struct Composed {
    index: u64,
    scene: Scene,
    instruction: Instruction,
}

/// Builder of the questions of one kind, for any thread.
pub(super) struct SceneQuestions<'a> {
    pub(super) scenes: &'a Scenes,
    pub(super) options: &'a EvalOptions,
    pub(super) kind: EvalKind,
    pub(super) preprocessor: PicturePreprocessor,
}

impl SceneQuestions<'_> {
    /// Composes scene `index` and its question, if it has one.
    pub(super) fn compose(&self, index: u64) -> Result<Step> {
        let scene = self.scenes.scene(self.kind.split(), index);
        let instruction = question(self.scenes, &scene, self.kind, &self.options.instructions);
        let Some(instruction) = instruction else {
            return Ok(Step::Empty);
        };
        let (image, references) = disturbed(&scene, &instruction, self.options.disturbance);
        let prompt = Prompt::new(references).with_question(instruction.question.clone());
        let composed = Composed {
            index,
            scene,
            instruction,
        };
        Ok(Step::Question(Box::new(Group {
            pixels: self.preprocessor.process(&image)?,
            questions: vec![(Ok(prompt), composed)],
        })))
    }

    /// Outcome of a question.
    pub(super) fn case(&self, composed: Composed, answer: Result<Answer, String>) -> Result<Case> {
        let Composed {
            index,
            scene,
            instruction,
        } = composed;
        let (answer, refused) = match answer {
            Ok(answer) => (answer, None),
            Err(reason) => (Answer::default(), Some(reason)),
        };
        let size = [scene.image.height() as usize, scene.image.width() as usize];
        let masks: Vec<_> = answer.masks.iter().map(|mask| mask.rle.clone()).collect();
        let predicted = united(&masks, size)?;
        let truth = true_mask(&scene, &instruction).to_rle()?;
        let intersection = predicted.intersection(&truth)?;
        let described = Described::of(self.scenes, &scene, &instruction, &answer);
        Ok(Case {
            kind: self.kind,
            scene: index,
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
            visible: visible(&scene, &instruction),
            noun_right: described.as_ref().map(|d| d.noun_right),
            expression_right: described.as_ref().map(|d| d.expression_right),
            said_noun: described.as_ref().and_then(|d| d.said_noun.clone()),
            noun: described.map(|d| d.noun),
            question: instruction.question,
            expected: instruction.answer,
            answer: answer.raw,
            refused,
        })
    }
}

/// First question of a kind about a scene.
pub(super) fn question(
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

/// Picture and references with the disturbance applied.
fn disturbed(
    scene: &Scene,
    instruction: &Instruction,
    disturbance: Option<Disturbance>,
) -> (RgbImage, Vec<Reference>) {
    let references = instruction
        .references
        .iter()
        .map(|reference| match (reference, disturbance) {
            (Reference::Audio(sound), Some(disturbance)) => {
                let samples = disturbance.sound(&sound.samples, scene.seed);
                Reference::Audio(Waveform::new(samples, sound.sample_rate))
            }
            _ => reference.clone(),
        })
        .collect();
    let image = match disturbance {
        Some(disturbance) => disturbance.picture(&scene.image, scene.seed),
        None => scene.image.clone(),
    };
    (image, references)
}

/// Union of the true masks of all targets.
pub(super) fn true_mask(scene: &Scene, instruction: &Instruction) -> Mask {
    let mut mask = Mask::new(scene.image.width() as usize, scene.image.height() as usize);
    for target in &instruction.targets {
        mask.union_with(&target.mask(scene));
    }
    mask
}

/// Smallest visible share of the target's objects.
fn visible(scene: &Scene, instruction: &Instruction) -> Option<f32> {
    let objects = instruction
        .targets
        .iter()
        .flat_map(|target| &target.objects);
    objects
        .map(|&object| scene.objects[object].visible)
        .reduce(f32::min)
}

/// Judgement of a description.
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
        let text = answer.text.trim_end_matches('.').trim();
        let noun = scene.objects[object].noun.clone();
        // In "dog left of the drum" the noun is dog: only the text before a relation counts.
        let head = [
            " left of the ",
            " right of the ",
            " above the ",
            " below the ",
        ]
        .iter()
        .fold(text, |head, relation| {
            head.split(relation).next().unwrap_or(head)
        });
        let has = |noun: &str| format!(" {head} ").contains(&format!(" {noun} "));
        // A noun within a longer one does not count: "fire engine" does not contain "engine". The
        // object's specific name counts as its noun.
        let name = &scene.objects[object].name;
        let nouns = scenes.library().nouns(false).iter().chain([&noun, name]);
        let nouns: Vec<&String> = nouns.filter(|word| has(word)).collect();
        let within = |word: &str, other: &str| {
            word != other && format!(" {other} ").contains(&format!(" {word} "))
        };
        let mut said = nouns
            .iter()
            .filter(|word| !nouns.iter().any(|other| within(word, other)));
        let right = said.clone().any(|word| *word == &noun || *word == name);
        let said_noun = match right {
            true => Some(noun.clone()),
            false => said.next().map(|word| (*word).clone()),
        };
        let noun_right = right;
        Some(Self {
            noun,
            said_noun,
            noun_right,
            expression_right: phrases::tells_apart(scene, object, text),
        })
    }
}
