//! Conversion of each kind of reference to features in the language model's width.

use anyref_vision::roi_align::{RegionBox, RoiAlignConfig, roi_align};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::model::{AnyRefModel, ReferencePooling};

impl<B: Backend> AnyRefModel<B> {
    /// Encodes reference pictures: CLIP, projector, pooled to the configured number of tokens.
    ///
    /// # Shapes
    /// - pixel_values: `[references, 3, size, size]`
    /// - output: `[references, reference tokens, hidden]`
    ///
    /// # Panics
    /// See [`picture_features`](Self::picture_features).
    pub fn image_reference(&self, pixel_values: Tensor<B, 4>) -> Tensor<B, 3> {
        let features = self
            .vision_tower
            .features(pixel_values, self.select_layer());
        self.pool_patches(self.mm_projector.forward(features))
    }

    /// Encodes boxes: RoIAlign over the CLIP patch grid, projector, and the coordinates of the box
    /// if the model has a layer for them.
    ///
    /// # Shapes
    /// - grid: `[pictures, channels, rows, columns]` of CLIP features
    /// - boxes: their `batch` is the picture, coordinates are shares of its width and height
    /// - output: `[boxes, reference tokens, hidden]`
    ///
    /// # Panics
    /// When a box is on a picture that is not in the batch.
    pub fn box_reference(&self, grid: Tensor<B, 4>, boxes: &[RegionBox]) -> Tensor<B, 3> {
        let device = grid.device();
        let [_, channels, rows, columns] = grid.dims();
        let scaled: Vec<RegionBox> = boxes
            .iter()
            .map(|b| RegionBox {
                batch: b.batch,
                x0: b.x0 * columns as f32,
                x1: b.x1 * columns as f32,
                y0: b.y0 * rows as f32,
                y1: b.y1 * rows as f32,
            })
            .collect();
        let output_size = match self.reference_pooling() {
            ReferencePooling::Strips => [self.reference_tokens(), 1],
            ReferencePooling::Grid => [self.reference_tokens().isqrt(); 2],
        };
        let config = RoiAlignConfig {
            output_size,
            spatial_scale: 1.0,
            sampling_ratio: Some(2),
            aligned: true,
        };
        let regions = roi_align(grid, &scaled, &config)
            .reshape([boxes.len(), channels, self.reference_tokens()])
            .swap_dims(1, 2);
        let tokens = self.mm_projector.forward(regions);
        match &self.box_projector {
            None => tokens,
            Some(projector) => {
                let corners: Vec<f32> = boxes
                    .iter()
                    .flat_map(|b| [b.x0, b.y0, b.x1, b.y1])
                    .collect();
                let corners = Tensor::<B, 3>::from_data(
                    TensorData::new(corners, [boxes.len(), 1, 4]),
                    (&device, tokens.dtype()),
                );
                tokens + projector.forward(corners)
            }
        }
    }

    /// Encodes sounds: ImageBind's audio encoder and its projection, one token per clip; `None` if
    /// the model has no audio encoder.
    ///
    /// # Shapes
    /// - features: `[sounds, clips, 1, mel, frames]`
    /// - output: `[sounds, clips, hidden]`
    ///
    /// # Panics
    /// When the features do not have the encoder's input size.
    pub fn audio_reference(&self, features: Tensor<B, 5>) -> Option<Tensor<B, 3>> {
        let (encoder, projector) = (self.audio_encoder.as_ref()?, self.audio_projector.as_ref()?);
        Some(projector.forward(encoder.forward(features)))
    }

    /// Averages a square grid of patch tokens down to the reference tokens.
    fn pool_patches(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let [count, patches, hidden] = tokens.dims();
        let (kept, side) = (self.reference_tokens(), patches.isqrt());
        match self.reference_pooling() {
            ReferencePooling::Strips => tokens
                .reshape([count, kept, patches / kept, hidden])
                .mean_dim(2)
                .squeeze_dim(2),
            ReferencePooling::Grid => {
                let cells = kept.isqrt();
                let cell = side / cells;
                tokens
                    .reshape([count, cells, cell, cells, cell * hidden])
                    .mean_dim(2)
                    .reshape([count * cells * cells, cell, hidden])
                    .mean_dim(1)
                    .reshape([count, kept, hidden])
            }
        }
    }
}
