//! SAM and SAM 2 with prompts.

use std::error::Error;

use anyref_core::{LowResMask, MaskPrompt, Multimask, SamForm, SamModel};
use anyref_decoder::{
    MaskDecoder, MaskDecoderInput, MaskDecoderOutput, PromptEncoder, PromptInput,
    Sam2MaskDecoderInput,
};
use anyref_weights::testing::Fixture;
use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use image::RgbImage;

use crate::measured::B;

/// SAM without its image encoder.
#[derive(Module, Debug)]
pub struct Masks<B: Backend> {
    pub prompt_encoder: PromptEncoder<B>,
    pub mask_decoder: MaskDecoder<B>,
}

impl<B: Backend> Masks<B> {
    /// Mask of the embedding's own mean.
    pub fn decode(&self, image_embeddings: Tensor<B, 4>) -> Tensor<B, 4> {
        let [_, width, rows, columns] = image_embeddings.dims();
        let prompt = image_embeddings
            .clone()
            .reshape([1, 1, width, rows * columns])
            .mean_dim(3)
            .reshape([1, 1, width]);
        let encoded = self
            .prompt_encoder
            .forward(PromptInput::default().with_embeddings(prompt));
        let input = MaskDecoderInput {
            image_embeddings,
            image_pe: self.prompt_encoder.image_pe(),
            sparse: encoded.sparse,
            dense: encoded.dense,
            multimask_output: false,
        };
        self.mask_decoder.forward(input).low_res_masks
    }
}

/// Picture of an input.
pub fn picture(input: &Fixture) -> Result<RgbImage, Box<dyn Error>> {
    let picture = input.data("picture");
    let [height, width] = [0, 1].map(|axis| picture.shape[axis] as u32);
    let bytes = picture.iter::<f32>().map(|value| value as u8).collect();
    Ok(RgbImage::from_raw(width, height, bytes).ok_or("no picture")?)
}

/// Picture with the mask prompts of `reference.py`.
pub struct Prompts {
    picture: RgbImage,
    prompts: [(MaskPrompt, Multimask); 5],
}

impl Prompts {
    pub fn read(input: &Fixture) -> Result<Self, Box<dyn Error>> {
        let earlier: Vec<f32> = input.data("earlier").iter::<f32>().collect();
        let point = || MaskPrompt::default().with_point(320.0, 200.0, true);
        let region = [100.0, 80.5, 500.0, 390.0];
        let not = MaskPrompt::default().with_point(320.0, 200.0, false);
        let one = |prompt| (prompt, Multimask::Never);
        Ok(Self {
            picture: picture(input)?,
            prompts: [
                (point(), Multimask::Always),
                one(point().with_point(90.5, 40.0, false)),
                one(MaskPrompt::default().with_region(region)),
                one(not.with_region(region)),
                one(point()
                    .with_point(400.0, 300.0, true)
                    .with_mask(LowResMask::new(earlier))),
            ],
        })
    }

    /// Logits and estimates of all prompts.
    pub fn answer(&self, sam: &SamModel<B>) -> Tensor<B, 1> {
        let picture = sam.picture(&self.picture).expect("a picture with pixels");
        let mut values = Vec::new();
        for (prompt, multimask) in &self.prompts {
            let answer = sam.predict(&picture, std::slice::from_ref(prompt), *multimask);
            let candidates = answer.expect("prompts that fit").remove(0).candidates;
            values.extend(candidates.iter().flat_map(|one| one.low_res.logits()));
            values.extend(candidates.iter().map(|one| one.estimate));
        }
        let count = values.len();
        Tensor::from_data(TensorData::new(values, [count]), &Default::default())
    }
}

/// Picture embedding of SAM 2, and the masks and estimates for the point of `reference.py`.
pub fn answer_point(sam: &SamModel<B>, pixels: Tensor<B, 4>) -> Tensor<B, 1> {
    let SamForm::Sam2(parts) = &sam.form else {
        panic!("a SAM 2");
    };
    let (device, side) = (pixels.device(), sam.image_size() as f32);
    let features = parts.image_encoder.forward(pixels);
    let point = Tensor::from_data([[[0.25 * side, 0.5 * side]]], &device);
    let prompt = PromptInput::default().with_points(point, Tensor::from_data([[1]], &device));
    let prompt = sam.prompt_encoder.forward_padded(prompt);
    let output = parts.mask_decoder.forward(Sam2MaskDecoderInput {
        image_embeddings: features.image_embeddings.clone(),
        high_resolution: parts.mask_decoder.high_resolution(features.high_resolution),
        image_pe: sam.prompt_encoder.image_pe(),
        sparse: prompt.sparse,
        dense: prompt.dense,
        multimask_output: true,
    });
    let MaskDecoderOutput {
        low_res_masks,
        iou_predictions,
    } = output.masks;
    let values = vec![
        features.image_embeddings.flatten(0, 3),
        low_res_masks.flatten(0, 3),
        iou_predictions.flatten(0, 1),
    ];
    Tensor::cat(values, 0)
}
