//! SAM 2's mask decoder.

use anyref_ops as ops;
use anyref_ops::nn;
use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Tensor, activation::sigmoid, backend::Backend};

use super::stability::Stability;
use crate::error::{Error, Result};
use crate::mask_decoder::{
    MaskDecoder, MaskDecoderConfig, MaskDecoderOutput, before_prompts, mask_heads, side_by_side,
};
use crate::mlp::{Mlp, MlpConfig};
use crate::two_way::TwoWayTransformer;
use crate::upscale::{HighResolution, OutputUpscaling};

/// Number of layers of the head that scores the object's presence.
const OBJECT_SCORE_LAYERS: usize = 3;

/// Configuration of a [`Sam2MaskDecoder`]; the defaults are SAM 2's and SAM 2.1's.
#[derive(Config, Debug)]
pub struct Sam2MaskDecoderConfig {
    /// Configuration of the parts shared with SAM's decoder.
    pub sam: MaskDecoderConfig,
    /// Applies a sigmoid to the IoU estimates.
    #[config(default = true)]
    pub iou_prediction_use_sigmoid: bool,
    /// Condition for replacing a single mask by one of several; `None` never replaces it.
    pub stability: Option<Stability>,
}

impl Default for Sam2MaskDecoderConfig {
    fn default() -> Self {
        Self::of_sam(MaskDecoderConfig::new())
    }
}

impl Sam2MaskDecoderConfig {
    /// Published settings over a decoder of these sizes.
    pub fn of_sam(sam: MaskDecoderConfig) -> Self {
        Self::new(sam).with_stability(Some(Stability::new()))
    }

    /// Checks that the decoder can be built.
    ///
    /// # Errors
    /// When single masks are to be replaced but there is no other mask, or the stability is NaN;
    /// also see [`MaskDecoderConfig::validate`].
    pub fn validate(&self) -> Result<()> {
        self.sam.validate()?;
        let Some(stability) = &self.stability else {
            return Ok(());
        };
        if self.sam.num_multimask_outputs == 0 {
            return Err(Error::Config {
                field: "dynamic_multimask_via_stability",
                problem: "needs several masks: make num_multimask_outputs 1 or more".into(),
            });
        }
        match stability.delta.is_finite() && stability.thresh.is_finite() {
            true => Ok(()),
            false => Err(Error::Config {
                field: "dynamic_multimask_stability_thresh",
                problem: "or its delta is not finite: give numbers".into(),
            }),
        }
    }

    /// Creates the decoder with PyTorch's initialisation.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Sam2MaskDecoder<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let dim = self.sam.transformer_dim;
        let MaskDecoder {
            transformer,
            iou_token,
            mask_tokens,
            output_upscaling,
            output_hypernetworks_mlps,
            iou_prediction_head,
        } = self.sam.init(device);
        let pointwise = |out| Conv2dConfig::new([dim, out], [1, 1]);
        Sam2MaskDecoder {
            transformer,
            iou_token,
            mask_tokens,
            obj_score_token: EmbeddingConfig::new(1, dim).init(device),
            output_upscaling,
            conv_s0: pointwise(dim / 8).init(device),
            conv_s1: pointwise(dim / 4).init(device),
            output_hypernetworks_mlps,
            iou_prediction_head,
            pred_obj_score_head: MlpConfig::new(dim, dim, 1, OBJECT_SCORE_LAYERS).init(device),
            config: self.clone(),
        }
    }
}

/// Input of [`Sam2MaskDecoder::forward`]: `n` prompts on `n` pictures, or on one.
#[derive(Debug, Clone)]
pub struct Sam2MaskDecoderInput<B: Backend> {
    /// Picture of each prompt, or one for all, `[n or 1, d, g, g]`.
    pub image_embeddings: Tensor<B, 4>,
    /// Finer levels of the pictures, from [`Sam2MaskDecoder::high_resolution`].
    pub high_resolution: HighResolution<B>,
    /// Position encoding from [`PromptEncoder::image_pe`](crate::PromptEncoder::image_pe),
    /// `[1, d, g, g]`.
    pub image_pe: Tensor<B, 4>,
    /// Embeddings of points, boxes and other prompts from
    /// [`PromptEncoder::forward_padded`](crate::PromptEncoder::forward_padded), `[n, k, d]`.
    pub sparse: Tensor<B, 3>,
    /// Embeddings of mask prompts, or the no-mask embedding, `[n or 1, d, g, g]`.
    pub dense: Tensor<B, 4>,
    /// Predicts several masks for each prompt (all but the first mask token), or one.
    pub multimask_output: bool,
}

/// Output of [`Sam2MaskDecoder::forward`].
#[derive(Debug, Clone)]
pub struct Sam2MaskDecoderOutput<B: Backend> {
    /// Masks and their IoU estimates.
    pub masks: MaskDecoderOutput<B>,
    /// Logits of the object's presence, `[n, 1]`; they do not affect the masks of a single picture.
    pub object_score_logits: Tensor<B, 2>,
}

/// SAM 2's mask decoder, from a picture's levels and prompts to masks (SAM 2 `mask_decoder.py`,
/// `MaskDecoder`).
#[derive(Module, Debug)]
pub struct Sam2MaskDecoder<B: Backend> {
    /// Transformer with cross attention between prompts and picture.
    pub transformer: TwoWayTransformer<B>,
    /// Token of the IoU estimates.
    pub iou_token: Embedding<B>,
    /// Tokens of the masks.
    pub mask_tokens: Embedding<B>,
    /// Token of the object score.
    pub obj_score_token: Embedding<B>,
    /// Upscaling from picture cells to mask pixels.
    pub output_upscaling: OutputUpscaling<B>,
    /// Convolution of the finest level, `[d / 8, d, 1, 1]`.
    pub conv_s0: Conv2d<B>,
    /// Convolution of the middle level, `[d / 4, d, 1, 1]`.
    pub conv_s1: Conv2d<B>,
    /// MLPs from each mask token to the weights of its mask.
    pub output_hypernetworks_mlps: Vec<Mlp<B>>,
    /// MLP from the IoU token to the IoU estimate of each mask.
    pub iou_prediction_head: Mlp<B>,
    /// MLP from its token to the object score.
    pub pred_obj_score_head: Mlp<B>,
    #[module(skip)]
    config: Sam2MaskDecoderConfig,
}

impl<B: Backend> Sam2MaskDecoder<B> {
    /// Configuration of the decoder.
    pub fn config(&self) -> &Sam2MaskDecoderConfig {
        &self.config
    }

    /// Prepares the finer levels of pictures, once for all prompts.
    ///
    /// # Shapes
    /// - levels: `[pictures, 4 g, 4 g, d]` and `[pictures, 2 g, 2 g, d]`, finest first
    pub fn high_resolution(&self, [finest, finer]: [Tensor<B, 4>; 2]) -> HighResolution<B> {
        let quarters = ops::pointwise(&self.conv_s0, finest);
        HighResolution::of_maps(ops::pointwise(&self.conv_s1, finer), quarters)
    }

    /// Predicts the masks of all prompts at once.
    ///
    /// # Panics
    /// When `multimask_output` is set and `num_multimask_outputs` is 0.
    pub fn forward(&self, input: Sam2MaskDecoderInput<B>) -> Sam2MaskDecoderOutput<B> {
        let [_, _, height, width] = input.image_embeddings.dims();
        let image = ops::cell_sum(input.image_embeddings, input.dense);
        let positions = ops::cells(input.image_pe);
        let tokens = self.tokens(input.sparse);
        let (tokens, image) = self
            .transformer
            .forward_before_norm(image, positions, tokens);

        let stability = self.config.stability.as_ref();
        let masks = match (input.multimask_output, stability) {
            (true, _) => 1..self.output_hypernetworks_mlps.len(),
            (false, Some(_)) => 0..self.output_hypernetworks_mlps.len(),
            (false, None) => 0..1,
        };
        let mut heads = mask_heads(&self.output_hypernetworks_mlps, 2, masks.clone());
        heads.push(self.iou_prediction_head.head(1, masks));
        heads.push(self.pred_obj_score_head.head(0, 0..1));
        let mut outputs = nn::heads(tokens, &self.transformer.norm_final_attn, &heads);
        let mut next = || outputs.pop().expect("an output a head");
        let (object_score_logits, estimates) = (next(), next());
        let weights = side_by_side(outputs);
        let (fine, sides) = (input.high_resolution, [height, width]);
        let low_res_masks = self
            .output_upscaling
            .masks(image, Some(fine), weights, sides);
        let estimates = match self.config.iou_prediction_use_sigmoid {
            true => sigmoid(estimates),
            false => estimates,
        };
        let (low_res_masks, iou_predictions) = match (input.multimask_output, stability) {
            (false, Some(stability)) => stability.choose(low_res_masks, estimates),
            _ => (low_res_masks, estimates),
        };
        Sam2MaskDecoderOutput {
            masks: MaskDecoderOutput {
                low_res_masks,
                iou_predictions,
            },
            object_score_logits,
        }
    }

    /// Concatenates the score, IoU and mask tokens and the prompts of each row.
    fn tokens(&self, sparse: Tensor<B, 3>) -> Tensor<B, 3> {
        let own = [&self.obj_score_token, &self.iou_token, &self.mask_tokens];
        before_prompts(own, sparse)
    }
}
