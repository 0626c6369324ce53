//! AnyRef together with the heads that only training needs.

use anyref_core::{AnyRefConfig, AnyRefModel};
use anyref_ops::nn::{Linear, LinearConfig};
use burn::module::{Initializer, Module, Param};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Tensor, backend::Backend};

/// Model and heads, all of which a run trains and checkpoints.
#[derive(Module, Debug)]
pub struct Trainee<B: Backend> {
    /// The model, which a run exports.
    pub anyref: AnyRefModel<B>,
    /// Heads of the encoders' own training.
    pub heads: PretrainingHeads<B>,
}

/// Heads in whose shared space pictures, names and sounds meet while the encoders are trained.
#[derive(Module, Debug)]
pub struct PretrainingHeads<B: Backend> {
    /// One vector a name, `[names, width]`: the text side of CLIP at this scale.
    pub names: Embedding<B>,
    /// CLIP features into the shared space.
    pub visual: Linear<B>,
    /// Sound embeddings into the shared space.
    pub sound: Option<Linear<B>>,
    /// One mask prompt a name, `[names, mask decoder width]`, in the place of the text embeddings
    /// that SAM was prompted with.
    pub prompts: Embedding<B>,
    /// Logarithm of the inverse temperature, `[1]`.
    pub logit_scale: Param<Tensor<B, 1>>,
}

impl<B: Backend> Trainee<B> {
    /// A fresh model with heads for `names` names.
    ///
    /// # Panics
    /// When the model makes no masks, which a run's configuration may not be.
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
            // As large as the decoder's own tokens, beside which a smaller prompt goes unnoticed.
            prompts: EmbeddingConfig::new(names, prompt_width).init(device),
            logit_scale: logit_scale.init([1], device),
        };
        Self {
            anyref: config.init(device),
            heads,
        }
    }

    /// The same with adapters, where the configuration asks for them.
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

/// Scales rows to length 1, `[..., width]`.
pub(crate) fn normalised<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let length = (x.clone() * x.clone())
        .sum_dim(D - 1)
        .add_scalar(1e-8)
        .sqrt();
    x / length
}
