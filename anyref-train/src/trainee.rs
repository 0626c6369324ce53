//! AnyRef together with the heads that only training needs.

use anyref_core::{AnyRefConfig, AnyRefModel};
use anyref_ops::nn::{Linear, LinearConfig};
use burn::module::{Initializer, Module, Param};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Tensor, backend::Backend};

/// Model and heads, all of which a run trains and checkpoints.
#[derive(Module, Debug)]
pub struct Trainee<B: Backend> {
    /// Model, which a run exports.
    pub anyref: AnyRefModel<B>,
    /// Heads for the training of the encoders.
    pub heads: PretrainingHeads<B>,
}

/// Heads into the shared space of pictures, names and sounds, for the training of the encoders.
#[derive(Module, Debug)]
pub struct PretrainingHeads<B: Backend> {
    /// Vectors of the names, `[names, width]`: the text side of CLIP at small scale.
    pub names: Embedding<B>,
    /// Projection of CLIP features into the shared space.
    pub visual: Linear<B>,
    /// Projection of sound embeddings into the shared space.
    pub sound: Option<Linear<B>>,
    /// Mask prompts of the names, `[names, mask decoder width]`, in place of the text embeddings
    /// that SAM was prompted with.
    pub prompts: Embedding<B>,
    /// Logarithm of the inverse temperature, `[1]`.
    pub logit_scale: Param<Tensor<B, 1>>,
}

impl<B: Backend> Trainee<B> {
    /// Initialises a model with heads for `names` names.
    ///
    /// # Panics
    /// When the model makes no masks, which the configuration of a run must.
    pub fn new(config: &AnyRefConfig, names: usize, device: &B::Device) -> Self {
        let width = config.vision_tower.hidden_size();
        let masks = config.mask_decoder.as_ref();
        let prompt_width = masks
            .expect("the model makes masks")
            .sizes()
            .transformer_dim;
        let sound = config
            .audio
            .as_ref()
            .map(|audio| LinearConfig::new(audio.encoder.output_dim, width).init(device));
        // CLIP starts at a temperature of 0.07.
        let logit_scale = Initializer::Constant {
            value: (1.0_f64 / 0.07).ln(),
        };
        let heads = PretrainingHeads {
            names: EmbeddingConfig::new(names, width)
                .with_initializer(Initializer::Normal {
                    mean: 0.0,
                    std: 0.02,
                })
                .init(device),
            visual: LinearConfig::new(width, width)
                .with_bias(false)
                .init(device),
            sound,
            // As large as the decoder's own tokens, among which a smaller prompt would be ignored.
            prompts: EmbeddingConfig::new(names, prompt_width).init(device),
            logit_scale: logit_scale.init([1], device),
        };
        Self {
            anyref: config.init(device),
            heads,
        }
    }

    /// Initialises a model with heads, and adapters if the configuration has them.
    pub(crate) fn with_adapters(
        config: &AnyRefConfig,
        names: usize,
        device: &B::Device,
    ) -> anyref_llm::Result<Self> {
        let mut trainee = Self::new(config, names, device);
        if let Some(lora) = &config.lora {
            trainee.anyref.llm = trainee.anyref.llm.with_lora(lora)?;
        }
        Ok(trainee)
    }
}

/// Normalises rows to length 1, `[..., width]`.
pub(crate) fn normalised<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let length = (x.clone() * x.clone())
        .sum_dim(D - 1)
        .add_scalar(1e-8)
        .sqrt();
    x / length
}
