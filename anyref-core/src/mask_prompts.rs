//! Features of pictures and masks of prompts, by the mask decoder of either kind.

use anyref_decoder::{MaskDecoderInput, MaskDecoderOutput, PromptInput, Sam2MaskDecoderInput};
use burn::tensor::{Tensor, backend::Backend};

use crate::mask_features::MaskFeatures;
use crate::model::AnyRefModel;
use crate::sam::{MaskDecoderKind, MaskImageEncoder};

impl<B: Backend> AnyRefModel<B> {
    /// Encodes pictures for the mask decoder.
    ///
    /// # Shapes
    /// - pixel_values: `[pictures, 3, size, size]`
    ///
    /// # Panics
    /// When a picture is not of the encoder's size, or the model makes no masks.
    pub fn mask_features(&self, pixel_values: Tensor<B, 4>) -> MaskFeatures<B> {
        let encoder = self.image_encoder.as_ref();
        match encoder.expect("the model makes masks") {
            MaskImageEncoder::Sam(encoder) => MaskFeatures::of_sam(encoder.forward(pixel_values)),
            MaskImageEncoder::Sam2(encoder) => {
                let features = encoder.forward(pixel_values);
                let Some(MaskDecoderKind::Sam2(decoder)) = &self.mask_decoder else {
                    panic!("encoder and decoder are of one kind");
                };
                MaskFeatures {
                    embeddings: features.image_embeddings,
                    levels: Some(decoder.high_resolution(features.high_resolution)),
                }
            }
        }
    }

    /// Decodes one mask a prompt: SAM's single one, or the one of SAM 2's several with the best
    /// estimate.
    ///
    /// # Shapes
    /// - features: those of each prompt's picture
    /// - prompts: `[prompts, width]`
    /// - output: logits `[prompts, 1, 4 * rows, 4 * columns]` and the IoU expected of them,
    ///   `[prompts, 1]`
    ///
    /// # Panics
    /// When the features are of another kind, or the model makes no masks.
    pub fn decode_prompts(
        &self,
        features: MaskFeatures<B>,
        prompts: Tensor<B, 2>,
    ) -> MaskDecoderOutput<B> {
        let parts = (&self.prompt_encoder, &self.mask_decoder);
        let (Some(encoder), Some(decoder)) = parts else {
            panic!("the model makes masks");
        };
        let prompts = PromptInput::default().with_embeddings(prompts.unsqueeze_dim(1));
        let image_embeddings = features.embeddings;
        let image_pe = encoder.image_pe();
        match decoder {
            MaskDecoderKind::Sam(decoder) => {
                let encoded = encoder.forward(prompts);
                decoder.forward(MaskDecoderInput {
                    image_embeddings,
                    image_pe,
                    sparse: encoded.sparse,
                    dense: encoded.dense,
                    multimask_output: false,
                })
            }
            MaskDecoderKind::Sam2(decoder) => {
                let encoded = encoder.forward_padded(prompts);
                let several = decoder.output_hypernetworks_mlps.len() > 1;
                let output = decoder.forward(Sam2MaskDecoderInput {
                    image_embeddings,
                    high_resolution: features.levels.expect("features of SAM 2"),
                    image_pe,
                    sparse: encoded.sparse,
                    dense: encoded.dense,
                    multimask_output: several,
                });
                best_masks(output.masks)
            }
        }
    }
}

/// Keeps the mask of each prompt with the best estimate, the first of equals.
///
/// # Shapes
/// - masks: `[prompts, masks, rows, columns]`, estimates `[prompts, masks]`
/// - output: `[prompts, 1, rows, columns]` and `[prompts, 1]`
pub(crate) fn best_masks<B: Backend>(output: MaskDecoderOutput<B>) -> MaskDecoderOutput<B> {
    let MaskDecoderOutput {
        low_res_masks,
        iou_predictions,
    } = output;
    let [prompts, masks, rows, columns] = low_res_masks.dims();
    let best = iou_predictions.clone().argmax(1);
    let places = best
        .clone()
        .reshape([prompts, 1, 1])
        .expand([prompts, 1, rows * columns]);
    let low_res_masks = low_res_masks
        .reshape([prompts, masks, rows * columns])
        .gather(1, places)
        .reshape([prompts, 1, rows, columns]);
    MaskDecoderOutput {
        low_res_masks,
        iou_predictions: iou_predictions.gather(1, best),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::TensorData;

    use super::*;

    #[test]
    fn the_best_of_several_masks_is_taken_by_its_estimate() {
        let device = Default::default();
        let output = best_masks(MaskDecoderOutput::<Flex> {
            low_res_masks: Tensor::from_data([[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]], &device),
            iou_predictions: Tensor::from_data([[0.1, 0.7], [0.5, 0.5]], &device),
        });
        let values = |data: TensorData| data.iter::<f32>().collect::<Vec<_>>();
        assert_eq!(values(output.low_res_masks.into_data()), [2.0, 3.0]);
        assert_eq!(values(output.iou_predictions.into_data()), [0.7, 0.5]);
    }
}
