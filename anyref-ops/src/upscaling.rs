//! Cells of a picture enlarged to pixels, and masks of these pixels.

use burn::nn::conv::ConvTranspose2d;
use burn::tensor::{Tensor, backend::Backend};

use crate::doubling::{Doubling, doubled};
use crate::nn::LayerNorm2d;
use crate::pixel_products;

/// Two transposed convolutions of kernel and stride 2, with a norm and GELU between them and GELU
/// after them (segment-anything `mask_decoder.py`, `output_upscaling`): a cell becomes 16 pixels,
/// in the order (y₁, x₁, y₂, x₂) of the convolutions.
#[derive(Debug)]
pub struct Upscaling<'a, B: Backend> {
    /// Convolution of cells, `[d, c, 2, 2]`.
    pub first: &'a ConvTranspose2d<B>,
    /// Norm of `c` channels.
    pub norm: &'a LayerNorm2d<B>,
    /// Second convolution, `[c, e, 2, 2]`.
    pub second: &'a ConvTranspose2d<B>,
    /// Summands of the outputs of either convolution, `[k, 4 * c]` and `[4 * k, 4 * e]` for any `k`
    /// that divides the number of cells; they repeat every `k` cells (SAM 2).
    pub fine: Option<[Tensor<B, 2>; 2]>,
}

impl<B: Backend> Upscaling<'_, B> {
    /// Computes the pixels.
    ///
    /// # Shapes
    /// - cells: `[batch, cells, d]`
    /// - output: `[batch, cells * 16, e]`
    pub fn pixels(&self, cells: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, count, dim] = cells.dims();
        let [halves, quarters] = match self.fine.clone() {
            Some(levels) => levels.map(Some),
            None => [None, None],
        };
        let first = Doubling {
            added: halves,
            ..Doubling::of(cells.reshape([batch * count, dim]))
        };
        let second = Doubling {
            norm: Some(self.norm),
            added: quarters,
            gelu: true,
            ..Doubling::of(doubled(self.first, first))
        };
        let x = doubled(self.second, second);
        let [_, channels] = x.dims();
        x.reshape([batch, count * 16, channels])
    }

    /// Computes `weights · pixelsᵀ` as pictures. The processor has some cells at a time, whose
    /// pixels stay in its caches, where there are no gradients.
    ///
    /// # Shapes
    /// - cells: `[batch, height * width, d]`
    /// - weights: `[batch, n, e]`
    /// - output: `[batch, n, 4 * height, 4 * width]`
    pub fn masks(
        &self,
        cells: Tensor<B, 3>,
        weights: Tensor<B, 3>,
        sides: [usize; 2],
    ) -> Tensor<B, 4> {
        #[cfg(feature = "flex")]
        if let Some(masks) = self.in_parts(&cells, &weights, sides) {
            return masks;
        }
        pixel_products(weights, self.pixels(cells), sides)
    }

    /// Computes masks by some cells at a time, where the processor can.
    #[cfg(feature = "flex")]
    fn in_parts(
        &self,
        cells: &Tensor<B, 3>,
        weights: &Tensor<B, 3>,
        sides: [usize; 2],
    ) -> Option<Tensor<B, 4>> {
        crate::flex::upscaled_masks(&crate::flex::UpscalingInput {
            first: self.first,
            norm: crate::flex::LayerNormParameters {
                gamma: self.norm.weight.val(),
                beta: self.norm.bias.val(),
                epsilon: self.norm.epsilon,
            },
            second: self.second,
            fine: self.fine.as_ref(),
            cells,
            weights,
            sides,
        })
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::nn::conv::ConvTranspose2dConfig;
    use burn_flex::Flex;

    use super::*;
    use crate::nn::LayerNorm2dConfig;
    use crate::testing::{assert_close, fill, random};

    /// Sizes of whole and cut tasks, with and without finer levels, for one picture and several.
    #[test]
    fn masks_are_products_with_all_pixels() {
        let device = Default::default();
        for ([dim, middle, outputs], [batch, masks], [height, width], pictures) in [
            ([32, 8, 4], [1, 1], [2, 3], 0),
            ([64, 16, 8], [2, 3], [7, 9], 1),
            ([64, 16, 8], [2, 8], [5, 4], 2),
            ([256, 64, 32], [1, 4], [8, 8], 0),
            ([24, 4, 64], [1, 2], [1, 33], 1),
        ] {
            let double = |from, to, seed| {
                let conv = ConvTranspose2dConfig::new([from, to], [2, 2]).with_stride([2, 2]);
                fill(conv.init::<Flex>(&device), seed, 0.3)
            };
            let count = height * width;
            let level = |rows, channels, seed| {
                random::<Flex, 2>([pictures * rows, 4 * channels], seed, &device)
            };
            let fine = || [level(count, middle, 5), level(4 * count, outputs, 6)];
            let upscaling = Upscaling {
                first: &double(dim, middle, 1),
                norm: &fill(LayerNorm2dConfig::new(middle).init(&device), 2, 1.0),
                second: &double(middle, outputs, 3),
                fine: (pictures > 0).then(fine),
            };
            let cells = random::<Flex, 3>([batch, count, dim], 7, &device);
            let weights = random::<Flex, 3>([batch, masks, outputs], 8, &device);
            let found = upscaling
                .in_parts(&cells, &weights, [height, width])
                .unwrap();
            let pixels = upscaling.pixels(cells);
            let expected = crate::pixel_products(weights, pixels, [height, width]);
            assert_close(&found, &expected, 2e-5);
        }
    }

    #[test]
    fn other_sizes_are_left_to_the_composed_form() {
        let device = Default::default();
        let double = |from, to| {
            let conv = ConvTranspose2dConfig::new([from, to], [2, 2]).with_stride([2, 2]);
            fill(conv.init::<Flex>(&device), 1, 0.3)
        };
        let upscaling = Upscaling {
            first: &double(8, 2),
            norm: &fill(LayerNorm2dConfig::new(2).init(&device), 2, 1.0),
            second: &double(2, 1),
            fine: None,
        };
        let cells = random::<Flex, 3>([1, 6, 8], 3, &device);
        let weights = random::<Flex, 3>([1, 2, 1], 4, &device);
        assert!(upscaling.in_parts(&cells, &weights, [2, 3]).is_none());
        assert_eq!(
            upscaling.masks(cells, weights, [2, 3]).dims(),
            [1, 2, 8, 12]
        );
    }
}
