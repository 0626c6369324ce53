//! Projection from token width to the width of the mask decoder.

use anyref_ops::nn::{LayerNorm2d, LayerNorm2dConfig};
use anyref_ops::{self as ops, layer_norm};
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{DType, Tensor, backend::Backend, module::conv2d, ops::ConvOptions};

use super::SamVisionConfig;

/// Two convolutions without bias, each followed by a normalisation (transformers `SamVisionNeck`).
#[derive(Module, Debug)]
pub struct SamVisionNeck<B: Backend> {
    /// 1 × 1 convolution.
    pub conv1: Conv2d<B>,
    /// Normalisation after the first convolution.
    pub layer_norm1: LayerNorm2d<B>,
    /// 3 × 3 convolution.
    pub conv2: Conv2d<B>,
    /// Normalisation after the second convolution.
    pub layer_norm2: LayerNorm2d<B>,
}

impl<B: Backend> SamVisionNeck<B> {
    pub(super) fn new(config: &SamVisionConfig, device: &B::Device) -> Self {
        let out = config.output_channels;
        let norm = LayerNorm2dConfig::new(out);
        Self {
            conv1: Conv2dConfig::new([config.hidden_size, out], [1, 1])
                .with_bias(false)
                .init(device),
            layer_norm1: norm.init(device),
            conv2: Conv2dConfig::new([out, out], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(device),
            layer_norm2: norm.init(device),
        }
    }

    /// Applies the neck. Half-precision input is widened inside, since the first convolution of
    /// ViT-H overflows f16.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, hidden_size]`
    /// - output: `[batch, output_channels, height, width]`
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let dtype = x.dtype();
        let wide = match dtype {
            DType::F16 | DType::BF16 => DType::F32,
            _ => dtype,
        };
        let [batch, height, width, hidden] = x.dims();
        let weight = self.conv1.weight.val().cast(wide);
        let out = weight.dims()[0];
        // The 1 × 1 convolution is a product over channels, which are last here.
        let x = x.cast(wide).reshape([batch * height * width, hidden]);
        let x = ops::linear(x, weight.reshape([out, hidden]).transpose(), None);
        let x = normalise(x, &self.layer_norm1, wide).reshape([batch, height, width, out]);
        let x = ops::permute(x, [0, 3, 1, 2]);
        let same_size = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let x = conv2d(x, self.conv2.weight.val().cast(wide), None, same_size);
        let x = normalise(ops::permute(x, [0, 2, 3, 1]), &self.layer_norm2, wide);
        ops::permute(x, [0, 3, 1, 2]).cast(dtype)
    }
}

/// Normalises over channels that are the last dimension.
fn normalise<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    norm: &LayerNorm2d<B>,
    dtype: DType,
) -> Tensor<B, D> {
    layer_norm(
        x,
        norm.weight.val().cast(dtype),
        norm.bias.val().cast(dtype),
        norm.epsilon,
    )
}
