//! Outputs of a layer in parts, such as queries, keys and values of one projection.

use core::ops::Range;

use burn::tensor::{Tensor, backend::Backend};

use super::Linear;
use crate::dispatch::{BackendKind, FlexKind, on_gpu_without_gradients};

impl<B: Backend> Linear<B> {
    /// Computes the outputs in `N` parts of equal width. On GPUs without gradients a dense weight
    /// is multiplied at once and the parts are views of the product, where a device takes such
    /// views without a copy. Otherwise the weight is cut rather than the product: there are usually
    /// far more rows than inputs, and the gradient of a slice has the size of the whole tensor.
    ///
    /// # Shapes
    /// - x: `[rows, d_input]`
    /// - outputs: `[rows, d_output / N]`
    ///
    /// # Panics
    /// When `N` does not divide `d_output`.
    pub fn forward_parts<const N: usize>(&self, x: Tensor<B, 2>) -> [Tensor<B, 2>; N] {
        /// Bytes of whose multiples views begin and end on every GPU.
        const VIEW: usize = 256;
        let [_, d_output] = self.weight.dims();
        assert!(
            d_output.is_multiple_of(N),
            "{N} parts of {d_output} outputs"
        );
        let width = d_output / N;
        let aligned = (width * x.dtype().size()).is_multiple_of(VIEW);
        let at_once = aligned && self.weight.dense().is_some();
        if at_once && on_gpu_without_gradients::<B>(&x.device()) {
            let whole = self.forward(x);
            return core::array::from_fn(|part| whole.clone().narrow(1, part * width, width));
        }
        core::array::from_fn(|part| {
            self.forward_outputs(x.clone(), part * width..(part + 1) * width)
        })
    }

    /// Computes a range of the outputs. The weight is cut rather than the product.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - output: `[.., outputs.len()]`
    pub fn forward_outputs<const D: usize>(
        &self,
        x: Tensor<B, D>,
        outputs: Range<usize>,
    ) -> Tensor<B, D> {
        let bias = self
            .bias
            .as_ref()
            .map(|bias| bias.val().narrow(0, outputs.start, outputs.len()));
        self.weight.product_of(x, outputs, bias)
    }

    /// Computes the outputs in `N` parts of equal width, such as queries, keys and values, each
    /// split into heads. On the CPU without gradients the parts are views of one product; elsewhere
    /// they are those of [`forward_parts`](Self::forward_parts).
    ///
    /// # Shapes
    /// - x: `[batch * tokens, d_input]`
    /// - outputs: `[batch, heads, tokens, d_output / (N * heads)]`
    ///
    /// # Panics
    /// When `batch` does not divide the rows, or `N * heads` not `d_output`.
    pub fn forward_heads<const N: usize>(
        &self,
        x: Tensor<B, 2>,
        [batch, heads]: [usize; 2],
    ) -> [Tensor<B, 4>; N] {
        let [rows, _] = x.dims();
        let split = |x: Tensor<B, 2>, heads: usize| {
            let width = x.dims()[1] / heads;
            x.reshape([batch, rows / batch, heads, width])
                .swap_dims(1, 2)
        };
        if BackendKind::of::<B>(&x.device()) == BackendKind::Flex(FlexKind::Inference) {
            let all = split(self.forward(x), N * heads);
            return core::array::from_fn(|part| all.clone().narrow(1, part * heads, heads));
        }
        self.forward_parts(x).map(|part| split(part, heads))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Autodiff;
    use burn::module::AutodiffModule;
    use burn::tensor::Tensor;
    use burn_flex::Flex;

    use super::super::LinearConfig;
    use crate::testing::random;

    /// With gradients the weight is cut instead of the product.
    #[test]
    fn views_of_one_product_equal_the_parts() {
        let device = Default::default();
        let layer = LinearConfig::new(5, 3 * 8).init::<Autodiff<Flex>>(&device);
        let x = random::<Flex, 2>([2 * 7, 5], 1, &device);
        let tracked = Tensor::<Autodiff<Flex>, 2>::from_inner(x.clone());
        let parts = layer.forward_heads::<3>(tracked, [2, 4]);
        let views = layer.valid().forward_heads::<3>(x, [2, 4]);
        for (part, view) in parts.into_iter().zip(views) {
            assert_eq!(view.dims(), [2, 4, 7, 2]);
            let apart = (part.inner() - view).abs().max().into_scalar();
            assert!(apart < 1e-6, "{apart}");
        }
    }
}
