//! SAM's mask decoder.

use std::ops::Range;

use anyref_ops as ops;
use anyref_ops::dispatch::{BackendKind, FlexKind};
use anyref_ops::nn::{self, Head};
use burn::config::Config;
use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Tensor, backend::Backend};

use crate::error::{Error, Result, positive_multiple};
use crate::mlp::{Mlp, MlpConfig};
use crate::two_way::{TwoWayTransformer, TwoWayTransformerConfig};
use crate::upscale::{OutputUpscaling, OutputUpscalingConfig};

/// Prompts that are decoded at once on the processor.
const TOGETHER: usize = 4;

/// Configuration of a [`MaskDecoder`]; the defaults are SAM's.
#[derive(Config, Debug)]
pub struct MaskDecoderConfig {
    /// Width of prompts and picture cells, a multiple of 8.
    #[config(default = 256)]
    pub transformer_dim: usize,
    /// Number of masks for a prompt that may mean several things.
    #[config(default = 3)]
    pub num_multimask_outputs: usize,
    /// Number of blocks of the two-way transformer.
    #[config(default = 2)]
    pub depth: usize,
    /// Number of heads of the two-way transformer.
    #[config(default = 8)]
    pub num_heads: usize,
    /// Width of the two-way transformer's MLP.
    #[config(default = 2048)]
    pub mlp_dim: usize,
    /// Ratio of the input's width to that of cross attention.
    #[config(default = 2)]
    pub attention_downsample_rate: usize,
    /// Number of layers of the IoU head.
    #[config(default = 3)]
    pub iou_head_depth: usize,
    /// Width of the IoU head.
    #[config(default = 256)]
    pub iou_head_hidden_dim: usize,
    /// Term added to the variance in the two-way transformer's normalisations.
    #[config(default = 1e-5)]
    pub layer_norm_eps: f64,
}

impl MaskDecoderConfig {
    /// Configuration for tests and small models, of width `transformer_dim`.
    pub fn nano(transformer_dim: usize) -> Self {
        Self::new()
            .with_transformer_dim(transformer_dim)
            .with_num_heads(2)
            .with_mlp_dim(transformer_dim * 2)
            .with_iou_head_hidden_dim(transformer_dim)
    }

    /// Checks that the decoder can be built.
    ///
    /// # Errors
    /// When a size is 0, 8 does not divide the width, or the heads do not divide the width of an
    /// attention.
    pub fn validate(&self) -> Result<()> {
        let multiples = [
            ("transformer_dim", self.transformer_dim, 8),
            ("depth", self.depth, 1),
            ("num_heads", self.num_heads, 1),
            ("mlp_dim", self.mlp_dim, 1),
            (
                "attention_downsample_rate",
                self.attention_downsample_rate,
                1,
            ),
            ("iou_head_depth", self.iou_head_depth, 1),
            ("iou_head_hidden_dim", self.iou_head_hidden_dim, 1),
        ];
        for (field, size, of) in multiples {
            positive_multiple(field, size, of)?;
        }
        // Self-attention of the prompts has the full width, cross attention a fraction of it.
        positive_multiple("transformer_dim", self.transformer_dim, self.num_heads)?;
        let narrow = self.transformer_dim / self.attention_downsample_rate;
        match narrow > 0 && narrow.is_multiple_of(self.num_heads) {
            true => Ok(()),
            false => Err(Error::Config {
                field: "attention_downsample_rate",
                problem: format!(
                    "is {}, which leaves a width of {narrow} to {} heads: make it a multiple of them",
                    self.attention_downsample_rate, self.num_heads
                ),
            }),
        }
    }

    /// Creates the decoder with PyTorch's initialisation.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> MaskDecoder<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let dim = self.transformer_dim;
        let num_mask_tokens = self.num_multimask_outputs + 1;
        let hypernetwork = MlpConfig::new(dim, dim, dim / 8, 3);
        MaskDecoder {
            transformer: TwoWayTransformerConfig::new()
                .with_embedding_dim(dim)
                .with_depth(self.depth)
                .with_num_heads(self.num_heads)
                .with_mlp_dim(self.mlp_dim)
                .with_attention_downsample_rate(self.attention_downsample_rate)
                .with_layer_norm_eps(self.layer_norm_eps)
                .init(device),
            iou_token: EmbeddingConfig::new(1, dim).init(device),
            mask_tokens: EmbeddingConfig::new(num_mask_tokens, dim).init(device),
            output_upscaling: OutputUpscalingConfig::new(dim).init(device),
            output_hypernetworks_mlps: (0..num_mask_tokens)
                .map(|_| hypernetwork.init(device))
                .collect(),
            iou_prediction_head: MlpConfig::new(
                dim,
                self.iou_head_hidden_dim,
                num_mask_tokens,
                self.iou_head_depth,
            )
            .init(device),
        }
    }
}

/// Input of [`MaskDecoder::forward`]: `n` prompts on `n` pictures, or on one.
#[derive(Debug, Clone)]
pub struct MaskDecoderInput<B: Backend> {
    /// Picture of each prompt, or one for all, `[n or 1, d, g, g]`.
    pub image_embeddings: Tensor<B, 4>,
    /// Position encoding from [`PromptEncoder::image_pe`](crate::PromptEncoder::image_pe),
    /// `[1, d, g, g]`.
    pub image_pe: Tensor<B, 4>,
    /// Embeddings of points, boxes and other prompts, `[n, k, d]`.
    pub sparse: Tensor<B, 3>,
    /// Embeddings of mask prompts, or the no-mask embedding, `[n or 1, d, g, g]`.
    pub dense: Tensor<B, 4>,
    /// Predicts several masks for each prompt (all but the first mask token), or one (the first).
    pub multimask_output: bool,
}

impl<B: Backend> MaskDecoderInput<B> {
    /// Input of some of the prompts.
    fn part(&self, first: usize, count: usize) -> Self {
        let maps = |maps: &Tensor<B, 4>| match maps.dims()[0] {
            1 => maps.clone(),
            _ => maps.clone().narrow(0, first, count),
        };
        Self {
            image_embeddings: maps(&self.image_embeddings),
            image_pe: maps(&self.image_pe),
            sparse: self.sparse.clone().narrow(0, first, count),
            dense: maps(&self.dense),
            multimask_output: self.multimask_output,
        }
    }
}

/// Output of [`MaskDecoder::forward`].
#[derive(Debug, Clone)]
pub struct MaskDecoderOutput<B: Backend> {
    /// Mask logits, `[n, m, 4 g, 4 g]`.
    pub low_res_masks: Tensor<B, 4>,
    /// IoU estimate of each mask, `[n, m]`.
    pub iou_predictions: Tensor<B, 2>,
}

/// SAM's mask decoder, from a picture's embedding and prompts to masks (segment-anything
/// `mask_decoder.py`, `MaskDecoder`).
#[derive(Module, Debug)]
pub struct MaskDecoder<B: Backend> {
    /// Transformer with cross attention between prompts and picture.
    pub transformer: TwoWayTransformer<B>,
    /// Token of the IoU estimates.
    pub iou_token: Embedding<B>,
    /// Tokens of the masks.
    pub mask_tokens: Embedding<B>,
    /// Upscaling from picture cells to mask pixels.
    pub output_upscaling: OutputUpscaling<B>,
    /// MLPs from each mask token to the weights of its mask.
    pub output_hypernetworks_mlps: Vec<Mlp<B>>,
    /// MLP from the IoU token to the IoU estimate of each mask.
    pub iou_prediction_head: Mlp<B>,
}

impl<B: Backend> MaskDecoder<B> {
    /// Predicts the masks of all prompts. A picture shared by all prompts is not copied until its
    /// embedding depends on them. On the processor, without gradients, a few prompts are decoded at
    /// a time, whose embeddings stay in its caches.
    ///
    /// # Panics
    /// When `multimask_output` is set and `num_multimask_outputs` is 0.
    pub fn forward(&self, input: MaskDecoderInput<B>) -> MaskDecoderOutput<B> {
        let [prompts, _, _] = input.sparse.dims();
        let kind = BackendKind::of::<B>(&input.sparse.device());
        if prompts <= TOGETHER || kind != BackendKind::Flex(FlexKind::Inference) {
            return self.forward_at_once(input);
        }
        let parts = (0..prompts).step_by(TOGETHER).map(|first| {
            let count = TOGETHER.min(prompts - first);
            self.forward_at_once(input.part(first, count))
        });
        let (masks, estimates) = parts
            .map(|part| (part.low_res_masks, part.iou_predictions))
            .unzip();
        MaskDecoderOutput {
            low_res_masks: Tensor::cat(masks, 0),
            iou_predictions: Tensor::cat(estimates, 0),
        }
    }

    fn forward_at_once(&self, input: MaskDecoderInput<B>) -> MaskDecoderOutput<B> {
        let [_, _, height, width] = input.image_embeddings.dims();
        let image = ops::cell_sum(input.image_embeddings, input.dense);
        let positions = ops::cells(input.image_pe);
        let tokens = self.tokens(input.sparse);
        let (tokens, image) = self
            .transformer
            .forward_before_norm(image, positions, tokens);

        let masks = match input.multimask_output {
            true => 1..self.output_hypernetworks_mlps.len(),
            false => 0..1,
        };
        let mut heads = mask_heads(&self.output_hypernetworks_mlps, 1, masks.clone());
        heads.push(self.iou_prediction_head.head(0, masks));
        let mut outputs = nn::heads(tokens, &self.transformer.norm_final_attn, &heads);
        let iou_predictions = outputs.pop().expect("an output a head");
        let weights = side_by_side(outputs);
        let sides = [height, width];
        MaskDecoderOutput {
            low_res_masks: self.output_upscaling.masks(image, None, weights, sides),
            iou_predictions,
        }
    }

    /// Concatenates the IoU token, the mask tokens and the prompts of each row.
    fn tokens(&self, sparse: Tensor<B, 3>) -> Tensor<B, 3> {
        before_prompts([&self.iou_token, &self.mask_tokens], sparse)
    }
}

/// Concatenates the decoder's own tokens and the prompts of each row, `[n, own + k, d]`.
pub(crate) fn before_prompts<B: Backend, const N: usize>(
    own: [&Embedding<B>; N],
    sparse: Tensor<B, 3>,
) -> Tensor<B, 3> {
    let [prompts, count, _] = sparse.dims();
    let own = own.map(|token| token.weight.val().unsqueeze::<3>());
    let given = (count > 0).then_some(sparse);
    ops::joined_rows(own.into_iter().chain(given).collect(), prompts)
}

/// Heads from mask tokens to the weights of masks; the token of mask 0 is `first`.
pub(crate) fn mask_heads<B: Backend>(
    mlps: &[Mlp<B>],
    first: usize,
    masks: Range<usize>,
) -> Vec<Head<'_, B>> {
    let of = |mask: usize| mlps[mask].head(first + mask, 0..mlps[mask].output_dim());
    masks.map(of).collect()
}

/// Concatenates the weights of masks, `[n, d / 8]` each, to `[n, masks, d / 8]`.
pub(crate) fn side_by_side<B: Backend>(weights: Vec<Tensor<B, 2>>) -> Tensor<B, 3> {
    let [prompts, _] = weights.first().map_or([0, 0], Tensor::dims);
    let weights = weights.into_iter().map(|weights| weights.unsqueeze_dim(1));
    let mut weights: Vec<_> = weights.collect();
    match weights.len() {
        1 => weights.remove(0),
        _ => ops::joined_rows(weights, prompts),
    }
}
