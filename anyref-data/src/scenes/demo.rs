//! Test scenes with one question of every kind, written as files for a demonstration.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyref_audio::Waveform;
use anyref_core::Reference;
use anyref_decoder::rle::Rle;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use serde::{Deserialize, Serialize};

use super::composer::{Scene, SceneObject};
use super::error::{Error, Result};
use super::instruction::{Instruction, InstructionConfig, Kind, KindWeights, OBJECT};
use super::scene_set::Scenes;
use super::sound::SAMPLE_RATE;
use super::split::Split;

/// File name of the list of scenes and questions.
pub const DEMO_FILE: &str = "demo.json";

/// Index of the first scene, far from the scenes that accuracy is measured on.
const FIRST_INDEX: u64 = 1 << 32;
/// Longest sound written, in seconds.
const SECONDS: usize = 2;
/// Longest question in characters that fits a caption.
const LONGEST_QUESTION: usize = 90;
const JPEG_QUALITY: u8 = 95;
const KINDS: [Kind; 6] = [
    Kind::Text,
    Kind::BoxToText,
    Kind::Image,
    Kind::Audio,
    Kind::Mixed,
    Kind::Absent,
];

/// Scenes and the questions about them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Demo {
    /// Scenes of the demonstration.
    pub scenes: Vec<DemoScene>,
}

/// Scene and the questions about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoScene {
    /// File name of the picture.
    pub picture: String,
    /// Questions about the scene.
    pub tasks: Vec<DemoTask>,
}

/// Question with its ground truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoTask {
    /// Kind of reference.
    pub kind: Kind,
    /// Question; `{1}`, `{2}` stand for the references.
    pub question: String,
    /// References in the order of their numbers.
    pub references: Vec<DemoReference>,
    /// Ground-truth answer.
    pub answer: String,
    /// Ground-truth masks; empty when the answer points at nothing.
    pub masks: Vec<Rle>,
}

/// Reference of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DemoReference {
    /// Box `[x0, y0, x1, y1]` in pixels of the scene.
    Box([f32; 4]),
    /// File name of a picture.
    Picture(String),
    /// File name of a sound.
    Sound(String),
}

/// Writes the first `count` test scenes that allow a question of every kind.
///
/// # Errors
/// When a file cannot be written, or the scenes do not allow some kind of question.
pub fn write(
    scenes: &Scenes,
    config: &InstructionConfig,
    count: usize,
    folder: &Path,
) -> Result<Demo> {
    fs::create_dir_all(folder).map_err(|source| Error::Create {
        path: folder.to_owned(),
        source,
    })?;
    let mut demo = Demo { scenes: Vec::new() };
    for index in FIRST_INDEX..FIRST_INDEX + 2_000 {
        if demo.scenes.len() == count {
            break;
        }
        let scene = scenes.scene(Split::Test, index);
        if let Some(asked) = one_of_each(scenes, config, &scene) {
            let name = format!("scene{}", demo.scenes.len() + 1);
            demo.scenes
                .push(write_scene(&scene, &asked, &name, folder)?);
        }
    }
    if demo.scenes.len() < count {
        return Err(Error::NoOccasion);
    }
    let file = folder.join(DEMO_FILE);
    let text = serde_json::to_string_pretty(&demo).map_err(io::Error::from);
    text.and_then(|text| fs::write(&file, text + "\n"))
        .map_err(|source| Error::Write { path: file, source })?;
    Ok(demo)
}

/// One question of every kind; `None` when the scene does not allow one or hides its objects.
fn one_of_each(
    scenes: &Scenes,
    config: &InstructionConfig,
    scene: &Scene,
) -> Option<Vec<Instruction>> {
    let pixels = (scene.image.width() * scene.image.height()) as usize;
    let clear = |object: &SceneObject| object.visible >= 0.8 && object.area * 60 >= pixels;
    if !(3..=5).contains(&scene.objects.len()) || !scene.objects.iter().all(clear) {
        return None;
    }
    let mut asked: Vec<Instruction> = Vec::new();
    for kind in KINDS {
        let config = InstructionConfig {
            per_scene: 6,
            weights: KindWeights::only(kind),
            describe_mask_probability: 1.0,
            ..config.clone()
        };
        let suits = |instruction: &Instruction| {
            instruction.question.len() <= LONGEST_QUESTION && audible(instruction)
        };
        let found = scenes
            .instructions(scene, &config, 0)
            .into_iter()
            .filter(suits);
        // Prefers objects that no earlier question asked about, to cover more of the scene.
        let (mut fresh, repeated): (Vec<_>, Vec<_>) = found.partition(|instruction| {
            asked
                .iter()
                .all(|before| before.targets.is_empty() || before.targets != instruction.targets)
        });
        fresh.extend(repeated);
        asked.push(fresh.into_iter().next()?);
    }
    Some(asked)
}

/// Returns whether the written excerpt of each sound is audible.
fn audible(instruction: &Instruction) -> bool {
    instruction
        .references
        .iter()
        .all(|reference| match reference {
            Reference::Audio(sound) => {
                let heard = excerpt(&sound.samples);
                let power = heard.iter().map(|s| s * s).sum::<f32>() / heard.len().max(1) as f32;
                power.sqrt() > 0.01
            }
            _ => true,
        })
}

fn excerpt(samples: &[f32]) -> &[f32] {
    &samples[..samples.len().min(SECONDS * SAMPLE_RATE as usize)]
}

fn write_scene(
    scene: &Scene,
    asked: &[Instruction],
    name: &str,
    folder: &Path,
) -> Result<DemoScene> {
    let picture = format!("{name}.jpg");
    let path = folder.join(&picture);
    File::create(&path)
        .map_err(image::ImageError::from)
        .and_then(|file| {
            JpegEncoder::new_with_quality(file, JPEG_QUALITY).encode_image(&scene.image)
        })
        .map_err(|source| Error::WritePicture { path, source })?;
    let mut tasks = Vec::with_capacity(asked.len());
    for (index, instruction) in asked.iter().enumerate() {
        let name = format!("{name}-{}", index + 1);
        let references = instruction
            .references
            .iter()
            .enumerate()
            .filter_map(|(number, reference)| {
                write_reference(reference, &format!("{name}-{}", number + 1), folder).transpose()
            })
            .collect::<Result<_>>()?;
        let masks = instruction
            .targets
            .iter()
            .map(|target| Ok(target.mask(scene).to_rle()?))
            .collect::<Result<_>>()?;
        tasks.push(DemoTask {
            kind: instruction.kind,
            question: instruction.question.clone(),
            references,
            answer: instruction.answer.replace(OBJECT, ""),
            masks,
        });
    }
    Ok(DemoScene { picture, tasks })
}

/// Writes the picture or sound of a reference; texts are part of the question.
fn write_reference(
    reference: &Reference,
    name: &str,
    folder: &Path,
) -> Result<Option<DemoReference>> {
    Ok(Some(match reference {
        Reference::Text(_) => return Ok(None),
        Reference::Box(_) | Reference::Mask(_) => {
            let corners = reference.region().unwrap_or_default();
            DemoReference::Box(corners.map(|at| (at * 10.0).round() / 10.0))
        }
        Reference::Image(image) => {
            let file = format!("{name}.png");
            save_png(image.image(), &folder.join(&file))?;
            DemoReference::Picture(file)
        }
        Reference::Audio(sound) => {
            let file = format!("{name}.wav");
            let sound = Waveform::new(excerpt(&sound.samples).to_vec(), SAMPLE_RATE);
            sound.save_wav(folder.join(&file))?;
            DemoReference::Sound(file)
        }
    }))
}

fn save_png(image: &RgbImage, path: &Path) -> Result<()> {
    image.save(path).map_err(|source| Error::WritePicture {
        path: path.to_owned(),
        source,
    })
}
