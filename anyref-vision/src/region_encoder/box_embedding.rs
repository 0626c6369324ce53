//! Place of a box as a vector.

use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, backend::Backend};

use super::RegionEncoderConfig;

/// Numbers of a box.
const CORNERS: usize = 4;

/// Two layers, each with ReLU and then normalisation, over a box's corners.
#[derive(Module, Debug)]
pub struct BoxEmbedding<B: Backend> {
    /// Layer over the corners.
    pub linear_1: Linear<B>,
    /// Normalisation after the first ReLU.
    pub layer_norm1: LayerNorm<B>,
    /// Layer to the width of a region.
    pub linear_2: Linear<B>,
    /// Normalisation after the second ReLU.
    pub layer_norm2: LayerNorm<B>,
}

impl<B: Backend> BoxEmbedding<B> {
    pub(super) fn new(config: &RegionEncoderConfig, device: &B::Device) -> Self {
        let (hidden, out) = (config.position_dim, config.region_dim);
        Self {
            linear_1: LinearConfig::new(CORNERS, hidden).init(device),
            layer_norm1: LayerNormConfig::new(hidden).init(device),
            linear_2: LinearConfig::new(hidden, out).init(device),
            layer_norm2: LayerNormConfig::new(out).init(device),
        }
    }

    /// Embeds boxes.
    ///
    /// # Shapes
    /// - boxes: `[boxes, 4]`, left, top, right and bottom as shares of the picture
    /// - output: `[boxes, region_dim]`
    pub fn forward(&self, boxes: Tensor<B, 2>) -> Tensor<B, 2> {
        let hidden = relu(self.linear_1.forward(boxes));
        let hidden = self.layer_norm1.forward(hidden);
        self.layer_norm2
            .forward(relu(self.linear_2.forward(hidden)))
    }
}
