//! Model with everything it needs besides its network.

use anyref_audio::AudioPreprocessorConfig;
use anyref_llm::GenerationConfig;
use anyref_llm::Tokenizer;
use anyref_ops::{DeviceWatch, on_processor};
use burn::tensor::backend::Backend;

use crate::bridge::BridgeOptions;
use crate::model::AnyRefModel;
use crate::prompt_config::{PromptConfig, Template};
use crate::special_tokens::SpecialTokens;
use crate::{Answer, AnyRefConfig, Error, Result, SoundLabeller};

/// Default of [`AnyRef::batch_bytes`].
const BATCH_BYTES: u64 = 4 << 30;

/// Model with its tokenizer and preprocessing.
///
/// Each method that waits for a device has an asynchronous form, with `_async` in its name, for
/// browsers, where waiting for the GPU is impossible.
#[derive(Debug)]
pub struct AnyRef<B: Backend> {
    /// Configuration of the model.
    pub config: AnyRefConfig,
    /// Network.
    pub model: AnyRefModel<B>,
    /// Tokenizer of the language model.
    pub tokenizer: Tokenizer,
    /// Options of generation.
    pub generation: GenerationConfig,
    /// Memory in bytes, besides the model and pictures, for questions that are answered together. A
    /// single question may exceed it.
    pub batch_bytes: u64,
    /// Options of bridging, for references that the model was not trained with.
    pub bridge: BridgeOptions,
    /// Labels of sounds, for a model that was not trained with sounds.
    pub sounds: Option<SoundLabeller<B>>,
    special: SpecialTokens,
    device: B::Device,
    /// Watch over the device; `None` on the processor, which has no device thread.
    watch: Option<DeviceWatch>,
}

impl<B: Backend> AnyRef<B> {
    /// Combines a network and a tokenizer. The authors' name of the mask token is changed to
    /// `<obj>` ([`SpecialTokens::name_object`]).
    ///
    /// # Errors
    /// When the tokenizer lacks one of the model's special tokens or has more tokens than the
    /// model.
    pub fn new(
        config: AnyRefConfig,
        model: AnyRefModel<B>,
        mut tokenizer: Tokenizer,
        device: B::Device,
    ) -> Result<Self> {
        SpecialTokens::name_object(&mut tokenizer)?;
        let special =
            SpecialTokens::for_prompts(&tokenizer, &config.prompts, config.makes_masks())?;
        let [known, _] = model.llm.model.embed_tokens.weight.lazy_shape().dims::<2>();
        if tokenizer.vocab_size() > known {
            return Err(Error::Vocabulary {
                tokenizer: tokenizer.vocab_size(),
                model: known,
            });
        }
        let generation = GenerationConfig {
            max_new_tokens: config.max_new_tokens,
            stop_tokens: special.stops(&tokenizer, &config.prompts),
            ..GenerationConfig::default()
        };
        Ok(Self {
            config,
            model,
            tokenizer,
            generation,
            batch_bytes: BATCH_BYTES,
            bridge: BridgeOptions::default(),
            sounds: None,
            special,
            device,
            watch: (!on_processor::<B>()).then(DeviceWatch::start),
        })
    }

    /// Sets the conversation template. The begin-of-sequence token, which is the tokenizer's, stays
    /// before conversations or not.
    ///
    /// # Errors
    /// When the tokenizer lacks a token that the template needs.
    pub fn set_template(&mut self, template: Template) -> Result<()> {
        let begins = self.config.prompts.begins();
        let prompts = PromptConfig {
            template,
            ..self.config.prompts.clone()
        }
        .with_begins_sequences(begins);
        let masks = self.config.makes_masks();
        self.special = SpecialTokens::for_prompts(&self.tokenizer, &prompts, masks)?;
        self.generation.stop_tokens = self.special.stops(&self.tokenizer, &prompts);
        self.config.prompts = prompts;
        Ok(())
    }

    /// Checks that the device has not failed since the model was created.
    ///
    /// # Errors
    /// When a thread that serves a device panicked; results since then are wrong.
    pub fn check_device(&self) -> Result<()> {
        match &self.watch {
            Some(watch) => Ok(watch.check()?),
            None => Ok(()),
        }
    }

    /// Returns the answer, unless the device failed meanwhile.
    pub(crate) fn device_checked(&self, answer: Result<Answer>) -> Result<Answer> {
        self.check_device()?;
        answer
    }

    /// Preprocessing of sounds, for a model that hears or whose sounds are converted to words.
    pub fn sound_preprocessor(&self) -> Option<&AudioPreprocessorConfig> {
        let own = self.config.audio.as_ref().map(|audio| &audio.preprocessor);
        let labelled = self.sounds.as_ref();
        own.or(labelled.map(|sounds| sounds.preprocessor().config()))
    }

    /// Ids of the special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// Device of the model.
    pub fn device(&self) -> &B::Device {
        &self.device
    }
}
