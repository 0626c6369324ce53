//! From fused levels and a box to one vector.

use anyref_ops::nn::{Linear, LinearConfig};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData, backend::Backend};

use super::level_fuse::{convolve, wide};
use super::{BoxEmbedding, RegionEncoderConfig};
use crate::roi_align::{RegionBox, RoiAlignConfig, roi_align};

/// RoIAlign of every level, their sum, and the box's place (GLaMM's `MlvlRoIExtractor`).
#[derive(Module, Debug)]
pub struct RegionPooling<B: Backend> {
    /// Convolutions of 3 × 3 over the pooled cells, one a level.
    pub pconvs: Vec<Conv2d<B>>,
    /// Embedding of the box's corners.
    pub pos_embedd: BoxEmbedding<B>,
    /// Projection to the width of the language model.
    pub updims: Linear<B>,
    /// Projection of all channels of all pooled cells to a region.
    pub flatten_linear: Linear<B>,
}

impl<B: Backend> RegionPooling<B> {
    pub(super) fn new(config: &RegionEncoderConfig, device: &B::Device) -> Self {
        let channels = config.embed_dim;
        let pooled = channels * config.roi_size.pow(2);
        let conv = Conv2dConfig::new([channels; 2], [3, 3]);
        Self {
            pconvs: (0..config.num_levels).map(|_| conv.init(device)).collect(),
            pos_embedd: BoxEmbedding::new(config, device),
            updims: LinearConfig::new(config.region_dim, config.output_size).init(device),
            flatten_linear: LinearConfig::new(pooled, config.region_dim).init(device),
        }
    }

    pub(super) fn forward(
        &self,
        levels: &[Tensor<B, 4>],
        boxes: &[RegionBox],
        config: &RegionEncoderConfig,
    ) -> Tensor<B, 2> {
        let [_, channels, ..] = levels[0].dims();
        let dtype = levels[0].dtype();
        let pooled = self.pconvs.iter().zip(levels).enumerate();
        let pooled = pooled.map(|(level, (conv, map))| {
            convolve(conv, wide(pooled_level(map, boxes, level, config)))
        });
        let sum = pooled.reduce(|sum, level| sum + level).expect("levels");
        let flat = [boxes.len(), channels * config.roi_size.pow(2)];
        let regions = self
            .flatten_linear
            .forward(relu(sum).reshape(flat).cast(dtype));
        let corners = boxes.iter().flat_map(|b| [b.x0, b.y0, b.x1, b.y1]);
        let corners = TensorData::new(corners.collect(), [boxes.len(), 4]);
        let corners = Tensor::<B, 2>::from_data(corners, (&regions.device(), dtype));
        self.updims
            .forward(regions + self.pos_embedd.forward(corners))
    }
}

/// One level inside the boxes, `[boxes, channels, rows, columns]`. Box by box: together each would
/// have a copy of its picture's level.
fn pooled_level<B: Backend>(
    map: &Tensor<B, 4>,
    boxes: &[RegionBox],
    level: usize,
    config: &RegionEncoderConfig,
) -> Tensor<B, 4> {
    let size = config.box_size as f32;
    let roi = RoiAlignConfig {
        output_size: [config.roi_size; 2],
        spatial_scale: config.fineness(level) as f64 / config.cell_size as f64,
        sampling_ratio: Some(config.sampling_ratio),
        aligned: true,
    };
    let pooled = boxes.iter().map(|region| {
        let scaled = RegionBox {
            batch: 0,
            x0: region.x0 * size,
            y0: region.y0 * size,
            x1: region.x1 * size,
            y1: region.y1 * size,
        };
        let own = map.clone().narrow(0, region.batch, 1);
        roi_align(own, &[scaled], &roi)
    });
    Tensor::cat(pooled.collect(), 0)
}
