//! The region encoder.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::level_fuse::as_map;
use super::{LevelFuse, RegionEncoderConfig, RegionPooling};
use crate::roi_align::RegionBox;

impl RegionEncoderConfig {
    /// Creates the encoder with random weights (lazily: loading a checkpoint draws none).
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> RegionEncoder<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        RegionEncoder {
            mlvl_fuse: LevelFuse::new(self, device),
            roi_align: RegionPooling::new(self, device),
            config: *self,
        }
    }
}

/// Features of boxes on a picture in the language model's width, one vector a box.
///
/// The fused levels do not depend on boxes, so that one picture's are computed once.
#[derive(Module, Debug)]
pub struct RegionEncoder<B: Backend> {
    /// Fusion of hidden states to levels.
    pub mlvl_fuse: LevelFuse<B>,
    /// Pooling of fused levels to regions.
    pub roi_align: RegionPooling<B>,
    #[module(skip)]
    config: RegionEncoderConfig,
}

impl<B: Backend> RegionEncoder<B> {
    /// Configuration of the encoder.
    pub fn config(&self) -> &RegionEncoderConfig {
        &self.config
    }

    /// Fuses hidden states of the tower, those of
    /// [`level_states`](RegionEncoderConfig::level_states).
    ///
    /// # Shapes
    /// - states: each `[pictures, patches, embed_dim]`, without the class token
    /// - output: each `[pictures, embed_dim, side, side]`, the finest first
    ///
    /// # Panics
    /// When there are not as many as levels, or they do not fit.
    pub fn fuse(&self, states: Vec<Tensor<B, 3>>) -> Vec<Tensor<B, 4>> {
        assert_eq!(
            states.len(),
            self.config.num_levels,
            "a state for each level"
        );
        let maps = states.into_iter().map(as_map).collect();
        self.mlvl_fuse.forward(maps, &self.config)
    }

    /// Features of boxes on fused levels.
    ///
    /// # Shapes
    /// - levels: as [`fuse`](Self::fuse) gives them
    /// - boxes: `batch` is the picture, coordinates are shares of its width and height
    /// - output: `[boxes, output_size]`
    ///
    /// # Panics
    /// When there is no box, or one is on a picture that is not in the batch.
    pub fn regions(&self, levels: &[Tensor<B, 4>], boxes: &[RegionBox]) -> Tensor<B, 2> {
        assert!(!boxes.is_empty(), "at least one box");
        self.roi_align.forward(levels, boxes, &self.config)
    }
}
