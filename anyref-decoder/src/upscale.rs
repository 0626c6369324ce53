//! Upscaling of picture cells to mask pixels.

use anyref_ops as ops;
use anyref_ops::Upscaling;
use anyref_ops::nn::{LayerNorm2d, LayerNorm2dConfig};
use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
use burn::tensor::{Int, Tensor, backend::Backend};

/// Configuration of an [`OutputUpscaling`].
#[derive(Config, Debug)]
pub struct OutputUpscalingConfig {
    /// Width of a picture cell, a multiple of 8.
    pub transformer_dim: usize,
    /// Term added to the variance in the normalisation.
    #[config(default = 1e-6)]
    pub layer_norm_eps: f64,
}

impl OutputUpscalingConfig {
    /// Creates the layers with PyTorch's initialisation.
    ///
    /// # Panics
    /// When 8 does not divide the width.
    pub fn init<B: Backend>(&self, device: &B::Device) -> OutputUpscaling<B> {
        let dim = self.transformer_dim;
        assert!(
            dim > 0 && dim.is_multiple_of(8),
            "transformer_dim ({dim}) must be a multiple of 8"
        );
        let double = |channels| ConvTranspose2dConfig::new(channels, [2, 2]).with_stride([2, 2]);
        OutputUpscaling {
            conv1: double([dim, dim / 4]).init(device),
            layer_norm: LayerNorm2dConfig::new(dim / 4)
                .with_epsilon(self.layer_norm_eps)
                .init(device),
            conv2: double([dim / 4, dim / 8]).init(device),
        }
    }
}

/// Two transposed convolutions of kernel 2 and stride 2: each cell becomes 4 × 4 pixels
/// (segment-anything `mask_decoder.py`, `output_upscaling`).
///
/// Because kernel and stride are equal, a pixel depends on a single cell, up to and including the
/// product with the mask tokens. The layers therefore run as linear maps over rows of channels, and
/// only the finished masks are put in picture order.
#[derive(Module, Debug)]
pub struct OutputUpscaling<B: Backend> {
    /// Layer `output_upscaling.0`, `[d, d / 4, 2, 2]`.
    pub conv1: ConvTranspose2d<B>,
    /// Layer `output_upscaling.1`.
    pub layer_norm: LayerNorm2d<B>,
    /// Layer `output_upscaling.3`, `[d / 4, d / 8, 2, 2]`.
    pub conv2: ConvTranspose2d<B>,
}

impl<B: Backend> OutputUpscaling<B> {
    /// Computes the 16 pixels of each cell in the order (y₁, x₁, y₂, x₂): position in the cell
    /// after the first convolution, then after the second. [`picture_order`](Self::picture_order)
    /// undoes it.
    ///
    /// # Shapes
    /// - cells: `[batch, height * width, d]`
    /// - output: `[batch, height * width * 16, d / 8]`
    pub fn forward(&self, cells: Tensor<B, 3>) -> Tensor<B, 3> {
        self.layers(None).pixels(cells)
    }

    /// Computes masks of the pixels: products of each with the weights of a mask. `fine` holds a
    /// picture's finer levels, which are added after each convolution (SAM 2 `mask_decoder.py`,
    /// `predict_masks`).
    ///
    /// # Shapes
    /// - cells: `[batch, height * width, d]`
    /// - weights: `[batch, masks, d / 8]`
    /// - output: `[batch, masks, 4 * height, 4 * width]`
    pub fn masks(
        &self,
        cells: Tensor<B, 3>,
        fine: Option<HighResolution<B>>,
        weights: Tensor<B, 3>,
        sides: [usize; 2],
    ) -> Tensor<B, 4> {
        self.layers(fine).masks(cells, weights, sides)
    }

    fn layers(&self, fine: Option<HighResolution<B>>) -> Upscaling<'_, B> {
        let rows = |level: Tensor<B, 3>| {
            let [pictures, positions, channels] = level.dims();
            level.reshape([pictures * positions / 4, 4 * channels])
        };
        Upscaling {
            first: &self.conv1,
            norm: &self.layer_norm,
            second: &self.conv2,
            fine: fine.map(|fine| [fine.halves, fine.quarters].map(rows)),
        }
    }

    /// Reorders values from the order of [`forward`](Self::forward) to rows and columns.
    ///
    /// # Shapes
    /// - values: `[batch, masks, height * width * 16]`
    /// - output: `[batch, masks, 4 * height, 4 * width]`
    pub fn picture_order(values: Tensor<B, 3>, sides: [usize; 2]) -> Tensor<B, 4> {
        ops::picture_order(values, sides)
    }
}

/// Finer levels of a picture in the order of [`OutputUpscaling::forward`], for any number of
/// prompts.
#[derive(Debug, Clone)]
pub struct HighResolution<B: Backend> {
    /// Level with four positions in each cell, `[pictures, height * width * 4, d / 4]`.
    pub halves: Tensor<B, 3>,
    /// Level with sixteen positions in each cell, `[pictures, height * width * 16, d / 8]`.
    pub quarters: Tensor<B, 3>,
}

impl<B: Backend> HighResolution<B> {
    /// Reorders channels-last maps to the order of [`OutputUpscaling::forward`].
    ///
    /// # Shapes
    /// - halves: `[pictures, 2 * height, 2 * width, d / 4]`
    /// - quarters: `[pictures, 4 * height, 4 * width, d / 8]`
    pub fn of_maps(halves: Tensor<B, 4>, quarters: Tensor<B, 4>) -> Self {
        let [pictures, rows, columns, channels] = halves.dims();
        let (height, width) = (rows / 2, columns / 2);
        let halves = halves.reshape([pictures, height, 2, width, 2, channels]);
        let halves = ops::permute(halves, [0, 1, 3, 2, 4, 5]);
        let halves = halves.reshape([pictures, height * width * 4, channels]);
        let [_, _, _, channels] = quarters.dims();
        let quarters = quarters.reshape([pictures, height, 2, 2, width, 2, 2, channels]);
        let quarters = ops::permute(quarters, [0, 1, 4, 2, 5, 3, 6, 7]);
        let quarters = quarters.reshape([pictures, height * width * 16, channels]);
        Self { halves, quarters }
    }

    /// Selects the levels of `pictures`, by index, each as often as it is listed.
    pub fn select(&self, pictures: Tensor<B, 1, Int>) -> Self {
        Self {
            halves: self.halves.clone().select(0, pictures.clone()),
            quarters: self.quarters.clone().select(0, pictures),
        }
    }

    /// Selects the levels of the picture at `index`.
    pub fn of_picture(&self, index: usize) -> Self {
        Self {
            halves: self.halves.clone().narrow(0, index, 1),
            quarters: self.quarters.clone().narrow(0, index, 1),
        }
    }
}
