//! Source of the masks among which the generator chooses.

use anyref_decoder::{MaskDecoderOutput, PromptInput};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use image::RgbImage;

use super::super::model::SamModel;
use super::super::picture::SamPicture;
use crate::Result;

/// Predictor of masks for single points: a [`SamModel`], or another decoder of the kind.
pub trait PointMasks<B: Backend>: Sync {
    /// Encodes a picture or a crop of one.
    ///
    /// # Errors
    /// When the picture has no pixels.
    fn picture(&self, image: &RgbImage) -> Result<SamPicture<B>>;

    /// Predicts one or several masks for each single point, `[x, y]` in pixels of the encoded
    /// picture.
    ///
    /// # Shapes
    /// - `low_res_masks`: logits `[points, masks, side, side]` over the square that holds the
    ///   resized picture
    /// - `iou_predictions`: `[points, masks]`
    fn masks_of_points(&self, picture: &SamPicture<B>, points: &[[f64; 2]])
    -> MaskDecoderOutput<B>;

    /// Side of the square to which pictures are resized.
    fn image_size(&self) -> usize;
}

impl<B: Backend> PointMasks<B> for SamModel<B> {
    fn picture(&self, image: &RgbImage) -> Result<SamPicture<B>> {
        self.picture(image)
    }

    fn masks_of_points(
        &self,
        picture: &SamPicture<B>,
        points: &[[f64; 2]],
    ) -> MaskDecoderOutput<B> {
        self.masks_of_each(picture, points, true)
    }

    fn image_size(&self) -> usize {
        self.image_size()
    }
}

/// SAM trained for one mask per prompt, as in whole models.
#[derive(Debug, Clone)]
pub struct OneMask<B: Backend>(pub SamModel<B>);

impl<B: Backend> PointMasks<B> for OneMask<B> {
    fn picture(&self, image: &RgbImage) -> Result<SamPicture<B>> {
        self.0.picture(image)
    }

    fn masks_of_points(
        &self,
        picture: &SamPicture<B>,
        points: &[[f64; 2]],
    ) -> MaskDecoderOutput<B> {
        self.0.masks_of_each(picture, points, false)
    }

    fn image_size(&self) -> usize {
        self.0.image_size()
    }
}

impl<B: Backend> SamModel<B> {
    fn masks_of_each(
        &self,
        picture: &SamPicture<B>,
        points: &[[f64; 2]],
        multimask: bool,
    ) -> MaskDecoderOutput<B> {
        let (device, count) = (self.device(), points.len());
        let coords = points.iter().flat_map(|&point| picture.to_input(point));
        let coords: Vec<f32> = coords.map(|coordinate| coordinate as f32).collect();
        let coords = Tensor::from_data(TensorData::new(coords, [count, 1, 2]), &device);
        let labels = Tensor::<B, 2, Int>::ones([count, 1], &device);
        let prompts = PromptInput::default().with_points(coords, labels);
        self.decode(picture, prompts, multimask)
    }
}
