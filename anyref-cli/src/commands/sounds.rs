//! `anyref sounds`: names for sounds by ImageBind's audio encoder and text tower.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use anyref_audio::{AudioPreprocessorConfig, Waveform};
use anyref_core::sound_labels::{IMAGEBIND_LICENCE, SOUND_PROMPT};
use anyref_core::{
    ModelOptions, SoundLabel, SoundLabeller, SoundLabellerFiles, SoundLabellerOptions,
    SoundVocabulary,
};
use anyref_weights::local_path;
use burn::tensor::backend::Backend;
use serde::Serialize;

use crate::args::{Common, SoundsArguments};
use crate::label_cache::label_cache;
use crate::output::{milliseconds, say};

/// Content of the line of `--json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    audio: String,
    backend: String,
    labels: Vec<LabelDocument<'a>>,
    /// Number of labels of the vocabulary that are left out.
    left_out: usize,
    timing_ms: TimingDocument,
}

#[derive(Debug, Serialize)]
struct LabelDocument<'a> {
    label: &'a str,
    probability: f32,
    similarity: f32,
}

#[derive(Debug, Serialize)]
struct TimingDocument {
    load: f64,
    audio: f64,
}

/// Reads sounds and labels, then the model, and prints the likeliest labels of each sound.
pub fn run<B: Backend>(
    common: &Common,
    arguments: &SoundsArguments,
    device: &B::Device,
) -> Result<()> {
    let threshold = common.sound_threshold.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&threshold) {
        bail!("--sound-threshold is {threshold}: give 0 to 1");
    }
    if arguments.top == 0 {
        bail!("--top is 0: give at least 1");
    }
    let vocabulary = match &common.sound_labels {
        Some(path) => SoundVocabulary::open(path)?,
        None => SoundVocabulary::audioset(),
    };
    let prompt = arguments.sound_prompt.as_deref().unwrap_or(SOUND_PROMPT);
    let mut sounds = Vec::with_capacity(arguments.audio.len());
    for path in &arguments.audio {
        sounds.push((path, open(path)?));
    }
    let start = Instant::now();
    let local = |path: &Option<PathBuf>, missing: &str| match path {
        Some(path) => Ok(local_path(path)?.into_owned()),
        None => bail!("{missing}"),
    };
    let files = SoundLabellerFiles {
        imagebind: local(
            &common.imagebind,
            "--imagebind is missing: give imagebind_huge.pth",
        )?,
        clip: local(
            &common.clip,
            "--clip is missing: give CLIP's folder, whose vocabulary the labels are read by",
        )?,
    };
    let options = SoundLabellerOptions {
        prompt: prompt.into(),
        weights: ModelOptions::new(common.dtype),
        cache: label_cache(arguments.label_cache.as_deref()),
    };
    let labeller = SoundLabeller::<B>::open(&files, vocabulary, &options, device)?;
    let load = start.elapsed();
    eprintln!("note: {IMAGEBIND_LICENCE}");
    for (path, sound) in &sounds {
        let start = Instant::now();
        let ranking = labeller.label(sound);
        let ranking = ranking.with_context(|| path.display().to_string())?;
        let likely = ranking.above(threshold);
        let shown = &likely[..likely.len().min(arguments.top)];
        let document = Document {
            audio: path.display().to_string(),
            backend: common.backend.to_string(),
            labels: shown.iter().map(LabelDocument::new).collect(),
            left_out: ranking.labels().len() - shown.len(),
            timing_ms: TimingDocument::new(load, start.elapsed()),
        };
        match arguments.json {
            true => say(&serde_json::to_string(&document)?)?,
            false => tell(&document, sounds.len() > 1)?,
        }
    }
    Ok(())
}

/// Reads a sound and refuses a silent one.
fn open(path: &Path) -> Result<Waveform> {
    let sound = Waveform::open(path)?;
    AudioPreprocessorConfig::new()
        .check_sound(&sound)
        .with_context(|| path.display().to_string())?;
    Ok(sound)
}

/// Prints labels with their probabilities and cosines, under the name of the sound if there are
/// several.
fn tell(document: &Document, several: bool) -> Result<()> {
    if several {
        say(&format!("{}:", document.audio))?;
    }
    if document.labels.is_empty() {
        return say("no label is likely enough: lower --sound-threshold");
    }
    for label in &document.labels {
        let LabelDocument {
            label,
            probability,
            similarity,
        } = label;
        say(&format!(
            "{probability:6.4}  {label}  (cosine {similarity:.3})"
        ))?;
    }
    Ok(())
}

impl<'a> LabelDocument<'a> {
    fn new(label: &'a SoundLabel) -> Self {
        Self {
            label: &label.label,
            probability: label.probability,
            similarity: label.similarity,
        }
    }
}

impl TimingDocument {
    fn new(load: Duration, audio: Duration) -> Self {
        Self {
            load: milliseconds(load),
            audio: milliseconds(audio),
        }
    }
}
