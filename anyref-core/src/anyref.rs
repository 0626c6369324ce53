//! The model with what it needs besides its network.

use anyref_audio::AudioPreprocessorConfig;
use anyref_llm::GenerationConfig;
use anyref_llm::Tokenizer;
use anyref_ops::{DeviceWatch, on_processor};
use burn::tensor::backend::Backend;

use crate::bridge::BridgeOptions;
use crate::model::AnyRefModel;
use crate::special_tokens::SpecialTokens;
use crate::{Answer, AnyRefConfig, Error, Result, SoundLabeller};

/// [`AnyRef::batch_bytes`] of a new model.
const BATCH_BYTES: u64 = 4 << 30;

/// The model with its tokenizer and pre-processing.
///
/// Each method that waits for a device has a form that does not, with `_async` in its name, for a
/// browser, whose GPU cannot be waited for.
#[derive(Debug)]
pub struct AnyRef<B: Backend> {
    /// Configuration of the model.
    pub config: AnyRefConfig,
    /// The network.
    pub model: AnyRefModel<B>,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// How answers are generated.
    pub generation: GenerationConfig,
    /// Memory in bytes, besides that of the model and of pictures, that questions which are
    /// answered together may take; one question is answered whatever it takes.
    pub batch_bytes: u64,
    /// How references are bridged that the model was not trained with.
    pub bridge: BridgeOptions,
    /// Labels of sounds, for a model that was not trained with them.
    pub sounds: Option<SoundLabeller<B>>,
    special: SpecialTokens,
    device: B::Device,
    /// None on the processor, which has no thread of a device.
    watch: Option<DeviceWatch>,
}

impl<B: Backend> AnyRef<B> {
    /// Puts a network and a tokenizer together. The authors' name of the mask token becomes `<obj>`
    /// ([`SpecialTokens::name_object`]).
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
            stop_tokens: vec![special.end],
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

    /// Whether the device has computed without a failure since the model was put together.
    ///
    /// # Errors
    /// When a thread that serves a device panicked, since when results are wrong.
    pub fn check_device(&self) -> Result<()> {
        match &self.watch {
            Some(watch) => Ok(watch.check()?),
            None => Ok(()),
        }
    }

    /// An answer, unless the device failed meanwhile.
    pub(crate) fn device_checked(&self, answer: Result<Answer>) -> Result<Answer> {
        self.check_device()?;
        answer
    }

    /// Pre-processing of sounds, for a model that hears or whose sounds are put into words.
    pub fn sound_preprocessor(&self) -> Option<&AudioPreprocessorConfig> {
        let own = self.config.audio.as_ref().map(|audio| &audio.preprocessor);
        let labelled = self.sounds.as_ref();
        own.or(labelled.map(|sounds| sounds.preprocessor().config()))
    }

    /// Ids of the special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// Where the model computes.
    pub fn device(&self) -> &B::Device {
        &self.device
    }
}
