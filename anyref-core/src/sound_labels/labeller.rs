//! Labelling of sounds.

use std::path::PathBuf;

use anyref_audio::imagebind::import;
use anyref_audio::{
    AudioFeatures, AudioPreprocessor, ImageBindAudio, ImageBindAudioConfig, Waveform,
};
use anyref_llm::clip_tokenizer::ClipTokenizer;
use anyref_ops::{DeviceWatch, on_processor};
use anyref_weights::load_module;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Element, Tensor, read_sync};

use super::SOUND_PROMPT;
use super::cache::{cache_file, read_cache, write_cache};
use super::embeddings::LabelEmbeddings;
use super::prompts::encode_prompts;
use super::ranking::SoundRanking;
use super::vocabulary::SoundVocabulary;
use crate::official::{Kind, Published, audio_config, text_config};
use crate::read::read;
use crate::{Error, ModelOptions, Result};

/// Maximum memory in bytes of the activations of clips that are encoded together.
const BATCH_BYTES: usize = 256 << 20;
/// Activations of the tokens' width that a block holds at a time besides the MLP's.
const STREAMS: usize = 6;

/// Published files of a labeller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundLabellerFiles {
    /// File `imagebind_huge.pth`, with audio encoder and text tower.
    pub imagebind: PathBuf,
    /// Folder of CLIP, of which only the tokenizer is read: `vocab.json` with `merges.txt`, or
    /// `tokenizer.json`.
    pub clip: PathBuf,
}

/// Options of a labeller.
#[derive(Debug, Clone)]
pub struct SoundLabellerOptions {
    /// Template of the texts that labels are compared as, with `{}` for the label.
    pub prompt: String,
    /// Type of the weights.
    pub weights: ModelOptions,
    /// Cache folder for the labels' embeddings, created if it is missing; a warning is logged if it
    /// is not writable. Without it they are computed each time.
    pub cache: Option<PathBuf>,
}

impl Default for SoundLabellerOptions {
    fn default() -> Self {
        Self {
            prompt: SOUND_PROMPT.into(),
            weights: ModelOptions::default(),
            cache: None,
        }
    }
}

/// Labeller of sounds: ImageBind's audio encoder with the embeddings of a vocabulary. The
/// [module](super) explains the comparison of sounds and labels.
///
/// Sounds are preprocessed as by ImageBind's own code
/// ([`reproduce_authors`](anyref_audio::AudioPreprocessorConfig::reproduce_authors)).
///
/// Each method that waits for a device has an asynchronous form, with `_async` in its name.
#[derive(Debug)]
pub struct SoundLabeller<B: Backend> {
    encoder: ImageBindAudio<B>,
    config: ImageBindAudioConfig,
    preprocessor: AudioPreprocessor,
    vocabulary: SoundVocabulary,
    embeddings: LabelEmbeddings,
    device: B::Device,
    /// Watch over the device; `None` on the processor, which has no device thread.
    watch: Option<DeviceWatch>,
}

impl<B: Backend> SoundLabeller<B> {
    /// Opens the files and embeds the labels. The text tower is dropped before the audio encoder is
    /// read.
    ///
    /// # Errors
    /// When a file is missing or damaged or does not hold both towers, the vocabulary of the
    /// tokenizer is not the text tower's, a label is too long with its prompt, the prompt has no
    /// place for a label, or the device fails.
    pub fn open(
        files: &SoundLabellerFiles,
        vocabulary: SoundVocabulary,
        options: &SoundLabellerOptions,
        device: &B::Device,
    ) -> Result<Self> {
        read_sync(Self::open_async(files, vocabulary, options, device))
    }

    /// Asynchronous form of [`open`](Self::open).
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub async fn open_async(
        files: &SoundLabellerFiles,
        vocabulary: SoundVocabulary,
        options: &SoundLabellerOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let watch = (!on_processor::<B>()).then(DeviceWatch::start);
        let tokenizer = ClipTokenizer::from_folder(&files.clip)?;
        let published = Published::open_as(&files.imagebind, "ImageBind", |kind| {
            kind == Kind::ImageBind
        })?;
        let text = text_config(&published)?;
        let audio = audio_config(&published)?;
        let (known, tokens) = (text.vocab_size, tokenizer.vocab_size());
        if known != tokens {
            let problem = format!(
                "has {tokens} tokens and the text tower of {} knows {known}; give the CLIP folder of its vocabulary, as of openai/clip-vit-large-patch14",
                files.imagebind.display()
            );
            return Err(Error::folder(&files.clip, problem));
        }
        let (width, other) = (audio.encoder.output_dim, text.output_dim);
        if width != other {
            let problem = format!(
                "its sounds are {width} values wide and its texts {other}; give the two towers of one model"
            );
            return Err(Error::folder(&files.imagebind, problem));
        }
        let context = text.context_length;
        let prompts = encode_prompts(&vocabulary, &options.prompt, &tokenizer, context)?;

        let checkpoint = &published.checkpoint;
        let load = || options.weights.load_options::<B>(device);
        let file = match &options.cache {
            Some(folder) => {
                let dtype = options.weights.dtype.fixed();
                let dtype = dtype.unwrap_or_else(B::FloatElem::dtype);
                Some(cache_file(folder, checkpoint, dtype, &prompts)?)
            }
            None => None,
        };
        let kept = file.as_deref();
        let kept = kept.and_then(|file| read_cache(file, prompts.len(), text.output_dim));
        let embeddings = match kept {
            Some(embeddings) => embeddings,
            None => {
                log::info!("embedding {} labels of sounds", prompts.len());
                let mut tower = text.init::<B>(device);
                let renamed = load()?
                    .with_renames(import::IMAGEBIND_TEXT)
                    .with_all_unused(import::IMAGEBIND_TEXT_UNUSED);
                load_module(&mut tower, checkpoint, &renamed)?;
                let embeddings = LabelEmbeddings::compute(&tower, &text, &prompts, device).await?;
                if let Some(file) = &file
                    && let Err(error) = write_cache(file, &embeddings)
                {
                    log::warn!("the embeddings of the labels are not kept: {error}");
                }
                embeddings
            }
        };
        let mut encoder = audio.encoder.init::<B>(device);
        let renamed = load()?
            .with_renames(import::IMAGEBIND)
            .with_all_unused(import::IMAGEBIND_UNUSED);
        load_module(&mut encoder, checkpoint, &renamed)?;
        let labeller = Self {
            encoder,
            config: audio.encoder,
            preprocessor: AudioPreprocessor::new(audio.preprocessor.with_reproduce_authors(true)),
            vocabulary,
            embeddings,
            device: device.clone(),
            watch,
        };
        labeller.check_device()?;
        Ok(labeller)
    }

    /// Labels among which sounds are classified.
    pub fn vocabulary(&self) -> &SoundVocabulary {
        &self.vocabulary
    }

    /// Preprocessing of sounds.
    pub fn preprocessor(&self) -> &AudioPreprocessor {
        &self.preprocessor
    }

    /// Device of the labeller.
    pub fn device(&self) -> &B::Device {
        &self.device
    }

    /// Ranks all labels for a sound, likeliest first.
    ///
    /// # Errors
    /// When the sound is silent, too short or not finite, or the device fails.
    pub fn label(&self, sound: &Waveform) -> Result<SoundRanking> {
        read_sync(self.label_async(sound))
    }

    /// Asynchronous form of [`label`](Self::label).
    ///
    /// # Errors
    /// See [`label`](Self::label).
    pub async fn label_async(&self, sound: &Waveform) -> Result<SoundRanking> {
        let features = self.preprocessor.process(sound)?;
        let mut ranked = self.label_features_async(&[features]).await?;
        Ok(ranked.remove(0))
    }

    /// Labels sounds like [`label`](Self::label), from features computed by the
    /// [`preprocessor`](Self::preprocessor), in batches limited by memory.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When a sound was preprocessed for a model of other sizes.
    pub fn label_features(&self, sounds: &[AudioFeatures]) -> Result<Vec<SoundRanking>> {
        read_sync(self.label_features_async(sounds))
    }

    /// Asynchronous form of [`label_features`](Self::label_features).
    ///
    /// # Errors
    /// See [`label_features`](Self::label_features).
    ///
    /// # Panics
    /// See [`label_features`](Self::label_features).
    pub async fn label_features_async(
        &self,
        sounds: &[AudioFeatures],
    ) -> Result<Vec<SoundRanking>> {
        let together = (BATCH_BYTES / self.sound_bytes()).max(1);
        let mut ranked = Vec::with_capacity(sounds.len());
        for sounds in sounds.chunks(together) {
            let clips = sounds.iter().map(|sound| sound.to_tensor(&self.device));
            let clips = Tensor::<B, 4>::stack::<5>(clips.collect(), 0);
            let embeddings = self.encoder.embed_sounds(clips).cast(DType::F32);
            let embeddings: Vec<f32> = read(embeddings).await?.iter().collect();
            for sound in embeddings.chunks_exact(self.embeddings.width) {
                let labels = self.vocabulary.labels();
                ranked.push(SoundRanking::new(labels, self.embeddings.rows(), sound)?);
            }
        }
        self.check_device()?;
        Ok(ranked)
    }

    /// Bytes of one sound in a block.
    fn sound_bytes(&self) -> usize {
        let config = &self.config;
        let tokens = config.num_patches() + 1;
        let mlp = 2.0 * config.mlp_ratio;
        let streams = config.hidden_size * (STREAMS + mlp as usize);
        let scores = config.num_attention_heads * tokens;
        let clips = self.preprocessor.config().num_clips;
        size_of::<f32>() * clips * tokens * (streams + scores)
    }

    /// Checks that the device has not failed since the labeller was opened.
    fn check_device(&self) -> Result<()> {
        match &self.watch {
            Some(watch) => Ok(watch.check()?),
            None => Ok(()),
        }
    }
}
