//! Instruction pairs: a question with references, its answer, and the masks that the answer points
//! at.

use std::collections::BTreeSet;

use anyref_core::Reference;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::composer::Scene;
use super::library::{Library, pick};
use super::mask::Mask;
use super::split::Split;

mod mixed;
pub(super) mod references;
pub(super) mod text;

/// Token by which an answer points at the picture.
pub const OBJECT: &str = "<obj>";
/// Ending of an answer about an absent object.
const NOT_THERE: &str = " is not in this image.";

/// Kind of reference of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Phrase.
    Text,
    /// Box to be described.
    BoxToText,
    /// Picture of the object.
    Image,
    /// Sound of the object.
    Audio,
    /// Several references of different kinds.
    Mixed,
    /// Object that is not in the scene.
    Absent,
}

/// Relative frequencies of the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KindWeights {
    /// Weight of [`Kind::Text`].
    pub text: f64,
    /// Weight of [`Kind::BoxToText`].
    pub box_to_text: f64,
    /// Weight of [`Kind::Image`].
    pub image: f64,
    /// Weight of [`Kind::Audio`].
    pub audio: f64,
    /// Weight of [`Kind::Mixed`].
    pub mixed: f64,
    /// Weight of [`Kind::Absent`].
    pub absent: f64,
}

impl Default for KindWeights {
    fn default() -> Self {
        Self {
            text: 3.0,
            box_to_text: 2.0,
            image: 2.0,
            audio: 1.5,
            mixed: 1.0,
            absent: 0.8,
        }
    }
}

impl KindWeights {
    /// Weights that select one kind only.
    pub fn only(kind: Kind) -> Self {
        let weight = |k: Kind| f64::from(u8::from(k == kind));
        Self {
            text: weight(Kind::Text),
            box_to_text: weight(Kind::BoxToText),
            image: weight(Kind::Image),
            audio: weight(Kind::Audio),
            mixed: weight(Kind::Mixed),
            absent: weight(Kind::Absent),
        }
    }

    fn pairs(&self) -> [(Kind, f64); 6] {
        [
            (Kind::Text, self.text),
            (Kind::BoxToText, self.box_to_text),
            (Kind::Image, self.image),
            (Kind::Audio, self.audio),
            (Kind::Mixed, self.mixed),
            (Kind::Absent, self.absent),
        ]
    }
}

/// Selection of questions about a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstructionConfig {
    /// Largest number of questions a scene.
    pub per_scene: usize,
    /// Relative frequencies of the kinds.
    pub weights: KindWeights,
    /// Probability that the background of a reference picture is blacked out.
    pub mask_crop_probability: f64,
    /// Probability that a question about a box asks for words and a mask, not for words alone.
    pub describe_mask_probability: f64,
    /// Long side of reference pictures in pixels.
    pub reference_size: u32,
    /// Largest shift of a box edge, as a share of the box.
    pub box_jitter: f32,
    /// Probability that in training the answer to a reference picture has a wrong name, of
    /// something else in the scene or of nothing there. The name has no loss, but the mask has:
    /// pointing must then follow the picture rather than its name, as it must for objects without a
    /// known name.
    pub misnaming_probability: f64,
    /// Probability that in training a box to describe holds one of several objects of one noun, if
    /// the scene has any: the noun alone is ambiguous, so the position must be stated.
    pub twin_probability: f64,
    /// Probability that in training a description states the position even if the noun alone is
    /// unambiguous, so that positions are learned from more than the few boxes that need them.
    pub placed_probability: f64,
    /// Probability that in training a reference picture shows a nameless object: one in the scene,
    /// if there is any, or an absent one. The name in the answer is arbitrary and has no loss.
    pub made_up_probability: f64,
    /// Probability that in training a referring expression compares sizes, if one of the object's
    /// expressions does.
    pub size_probability: f64,
}

impl Default for InstructionConfig {
    fn default() -> Self {
        Self {
            per_scene: 8,
            weights: KindWeights::default(),
            mask_crop_probability: 0.5,
            describe_mask_probability: 0.5,
            reference_size: 128,
            box_jitter: 0.04,
            misnaming_probability: 0.0,
            twin_probability: 0.0,
            placed_probability: 0.0,
            made_up_probability: 0.0,
            size_probability: 0.0,
        }
    }
}

/// Target of one `<obj>` of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Scene objects whose masks are united.
    pub objects: Vec<usize>,
    /// Nameless object of the scene, instead of `objects`.
    pub made_up: Option<usize>,
    /// Words before the `<obj>`.
    pub phrase: String,
    /// Noun of the objects; empty for nameless ones.
    pub noun: String,
}

impl Target {
    /// Target that unites the masks of `objects`.
    pub fn at(objects: Vec<usize>, phrase: String, noun: String) -> Self {
        Self {
            objects,
            made_up: None,
            phrase,
            noun,
        }
    }

    /// Union of the visible masks.
    pub fn mask(&self, scene: &Scene) -> Mask {
        let mut mask = mask_of(scene, &self.objects);
        if let Some(made_up) = self.made_up {
            mask.union_with(&scene.made_up[made_up].mask);
        }
        mask
    }
}

/// Union of the visible masks of `objects`.
pub fn mask_of(scene: &Scene, objects: &[usize]) -> Mask {
    let mut mask = Mask::new(scene.image.width() as usize, scene.image.height() as usize);
    for &object in objects {
        mask.union_with(&scene.objects[object].mask);
    }
    mask
}

/// Question about a scene and its answer.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Kind of reference.
    pub kind: Kind,
    /// Question; `{1}`, `{2}` stand for the references.
    pub question: String,
    /// References in the order of their numbers; boxes in pixels of the scene, sounds mono at 16
    /// kHz.
    pub references: Vec<Reference>,
    /// Answer with one `<obj>` a target.
    pub answer: String,
    /// Targets in the order of the answer's `<obj>`.
    pub targets: Vec<Target>,
    /// Object in the box of a description, whether or not the answer points at it.
    pub described: Option<usize>,
    /// Whether the answer's name is wrong on purpose, so that only the text after it and the masks
    /// are trained.
    pub misnamed: bool,
}

impl Instruction {
    /// Noun that the only reference shows; `None` when there are several references.
    pub fn reference_noun<'s>(&'s self, scene: &'s Scene) -> Option<&'s str> {
        if self.references.len() != 1 {
            return None;
        }
        match (self.kind, self.described) {
            (Kind::BoxToText, Some(object)) => Some(&scene.objects[object].noun),
            (Kind::Image | Kind::Audio, _) => {
                let target = self.targets.first()?;
                target.made_up.is_none().then_some(&target.noun)
            }
            _ => None,
        }
    }

    /// Name in an answer that the object is absent; `None` for other answers.
    pub fn absent_phrase(&self) -> Option<&str> {
        let absent = self.kind == Kind::Absent;
        absent.then(|| self.answer.strip_suffix(NOT_THERE))?
    }
}

/// Scene, library and settings of questions.
struct Asker<'a> {
    library: &'a Library,
    scene: &'a Scene,
    config: &'a InstructionConfig,
    rng: SmallRng,
}

/// Asks about a scene. Kinds that it does not allow are replaced by other configured ones. No
/// question is repeated for the same objects in the same words, so a small scene may get fewer
/// questions than configured.
pub(crate) fn ask(
    library: &Library,
    scene: &Scene,
    config: &InstructionConfig,
    seed: u64,
) -> Vec<Instruction> {
    let mut asker = Asker {
        library,
        scene,
        config,
        rng: SmallRng::seed_from_u64(seed),
    };
    let mut asked = BTreeSet::new();
    let mut instructions = Vec::with_capacity(config.per_scene);
    let pairs = config.weights.pairs();
    for _ in 0..config.per_scene * 6 {
        if instructions.len() == config.per_scene || scene.objects.is_empty() {
            break;
        }
        let Some(&(kind, _)) = pick(&pairs, |(_, weight)| *weight, &mut asker.rng) else {
            break;
        };
        let Some(instruction) = asker.ask(kind) else {
            continue;
        };
        let objects: Vec<_> = match instruction.described {
            Some(object) => vec![vec![object]],
            None => instruction
                .targets
                .iter()
                .map(|t| {
                    let made_up = t.made_up.map(|made_up| scene.objects.len() + made_up);
                    t.objects.iter().copied().chain(made_up).collect()
                })
                .collect(),
        };
        if asked.insert((instruction.question.clone(), objects)) {
            instructions.push(instruction);
        }
    }
    instructions
}

impl Asker<'_> {
    fn ask(&mut self, kind: Kind) -> Option<Instruction> {
        match kind {
            Kind::Text => self.text(),
            Kind::BoxToText => self.describe(),
            Kind::Image => self.image(),
            Kind::Audio => self.audio(),
            Kind::Mixed => self.mixed(),
            Kind::Absent => self.absent(),
        }
    }

    /// Random object of the scene.
    fn any_object(&mut self) -> usize {
        self.rng.random_range(0..self.scene.objects.len())
    }

    /// Training noun that is neither in the scene nor the outline of anything in it.
    fn absent_noun(&mut self) -> Option<String> {
        (0..8).find_map(|_| {
            let noun = self.library.draw_noun(false, &mut self.rng)?;
            let shown = self
                .scene
                .objects
                .iter()
                .any(|o| o.noun == noun || o.name == noun);
            let cutouts = self.library.cutouts();
            let outlines = self
                .scene
                .made_up
                .iter()
                .map(|made_up| made_up.thing.outline);
            let outlined = outlines
                .map(|outline| &cutouts[outline].noun)
                .any(|o| o == noun);
            (!shown && !outlined).then(|| noun.to_owned())
        })
    }

    /// Returns whether to take a training-only branch. With a probability of 0 nothing is drawn
    /// from the generator, so that existing questions stay unchanged.
    fn in_training(&mut self, probability: f64) -> bool {
        let learned = self.scene.split == Split::Train && probability > 0.0;
        learned && self.rng.random_bool(probability)
    }

    /// Random element of a slice.
    fn one_of<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        items.choose(&mut self.rng)
    }
}

/// `phrase<obj>` for every target, then a full stop.
fn pointing_answer(targets: &[Target]) -> String {
    let parts: Vec<String> = targets
        .iter()
        .map(|t| format!("{}{OBJECT}", t.phrase))
        .collect();
    format!("{}.", parts.join(","))
}

/// Answer for an absent object. Like an answer with masks, it starts with the name of the object,
/// so that the decision about presence is conditioned on one known name: after "there is no ..." it
/// would have to outweigh every name that a sound or a picture may stand for.
pub(super) fn absent_answer(phrase: &str) -> String {
    format!("{phrase}{NOT_THERE}")
}
