//! ImageBind at small scale: sounds against the names that pictures were aligned with.
//!
//! ImageBind aligns a sound with the frozen embedding of the picture it came with (Girdhar et al.
//! 2023). The vision tower has placed the names' vectors where the pictures of each object are, so
//! a sound is matched with them, and the heads of the vision tower stay frozen.

use anyref_audio::{AudioFeatures, Waveform};
use anyref_ops as ops;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::context::{floats, indices};
use super::scene_context::SceneContext;
use crate::config::StageConfig;
use crate::losses::{cross_entropy, hits};
use crate::stage::{Losses, Stage};
use crate::stage_error::StageError;
use crate::trainee::{Trainee, normalised};
use anyref_data::scenes::Split;
use anyref_data::scenes::sound;

/// Inverse temperature: the head's vectors have length 20 already, and are normalised here.
const SCALE: f64 = 20.0;

/// Stage that trains the audio encoder.
#[derive(Debug)]
pub struct AudioStage<'a> {
    context: &'a SceneContext,
    config: StageConfig,
    /// Nouns that have a sound, with their name index.
    nouns: Vec<(String, usize)>,
}

/// Sounds and the positions of their names among the nouns with a sound.
#[derive(Debug)]
pub struct AudioBatch {
    sounds: Vec<AudioFeatures>,
    names: Vec<usize>,
}

impl<'a> AudioStage<'a> {
    /// Prepares the stage.
    ///
    /// # Errors
    /// When no known noun has a sound.
    pub fn new(context: &'a SceneContext, config: StageConfig) -> Result<Self, StageError> {
        let nouns: Vec<_> = context
            .scenes
            .library()
            .sounding_nouns()
            .filter_map(|noun| Some((noun.to_owned(), context.name(noun)?)))
            .collect();
        if nouns.is_empty() {
            return Err(StageError::NoSounds);
        }
        Ok(Self {
            context,
            config,
            nouns,
        })
    }

    fn make_batch(&self, held_out: bool, step: u64) -> Result<AudioBatch, StageError> {
        let Some(preprocessor) = self.context.sound() else {
            return Err(StageError::NoAudioEncoder);
        };
        let split = if held_out {
            Split::Validation
        } else {
            Split::Train
        };
        let mut rng = SmallRng::seed_from_u64(split.seed(self.context.seed, step));
        let mut batch = AudioBatch {
            sounds: Vec::new(),
            names: Vec::new(),
        };
        let positions: Vec<usize> = (0..self.nouns.len()).collect();
        // Far more tries than the few refused sounds need.
        for _ in 0..100 * self.config.batch {
            if batch.sounds.len() == self.config.batch {
                break;
            }
            let Some(&position) = positions.choose(&mut rng) else {
                break;
            };
            let recordings = self
                .context
                .scenes
                .library()
                .recordings(&self.nouns[position].0);
            let Some(recording) = recordings.choose(&mut rng) else {
                continue;
            };
            let varied = sound::vary(recording, held_out, &mut rng);
            let waveform = Waveform::new(varied, sound::SAMPLE_RATE);
            // A variation may shift a short sound out of its clip.
            if let Ok(features) = preprocessor.process(&waveform) {
                batch.sounds.push(features);
                batch.names.push(position);
            }
        }
        if batch.sounds.is_empty() {
            return Err(StageError::Unheard);
        }
        Ok(batch)
    }

    fn logits<B: Backend>(
        &self,
        trainee: &Trainee<B>,
        batch: &AudioBatch,
    ) -> Result<(Tensor<B, 2>, Tensor<B, 1, Int>), StageError> {
        let device = trainee.heads.logit_scale.val().device();
        let (Some(encoder), Some(head)) = (&trainee.anyref.audio_encoder, &trainee.heads.sound)
        else {
            return Err(StageError::NoAudioEncoder);
        };
        let [clips, channels, mel, frames] = batch.sounds[0].shape;
        let values = batch
            .sounds
            .iter()
            .flat_map(|sound| sound.data.iter().copied())
            .collect();
        let sounds = floats::<B, 5>(
            values,
            [batch.sounds.len(), clips, channels, mel, frames],
            &device,
        );
        let embedded = encoder.forward(sounds).mean_dim(1).squeeze_dim::<2>(1);
        let embedded = normalised(head.forward(embedded));
        let rows: Vec<usize> = self.nouns.iter().map(|(_, name)| *name).collect();
        let names = trainee
            .heads
            .names
            .weight
            .val()
            .select(0, indices(&rows, &device));
        let logits = ops::matmul(embedded, normalised(names).transpose()) * SCALE;
        Ok((logits, indices(&batch.names, &device)))
    }
}

impl<B: AutodiffBackend> Stage<B> for AudioStage<'_> {
    type Batch = AudioBatch;

    fn batch(&self, step: u64) -> Result<AudioBatch, StageError> {
        self.make_batch(false, step)
    }

    fn loss(&self, trainee: &Trainee<B>, batch: &AudioBatch) -> Result<Losses<B>, StageError> {
        let (logits, names) = self.logits(trainee, batch)?;
        let loss = cross_entropy(logits, names);
        Ok(Losses::new(loss.clone(), vec![("sound", loss)]))
    }

    fn validate(
        &self,
        trainee: &Trainee<B::InnerBackend>,
    ) -> Result<Vec<(String, f64)>, StageError> {
        let (mut right, mut all) = (0.0, 0.0);
        for step in 0..self.config.validation_scenes.div_ceil(self.config.batch) as u64 {
            let batch = self.make_batch(true, step)?;
            let (logits, names) = self.logits(trainee, &batch)?;
            right += hits(logits, names);
            all += batch.names.len() as f64;
        }
        Ok(vec![("sound_accuracy".into(), right / all)])
    }
}
