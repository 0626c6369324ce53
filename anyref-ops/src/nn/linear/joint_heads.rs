//! Queries, keys and values of one projection, as heads.

use burn::tensor::{Tensor, backend::Backend};

use super::Linear;
use crate::dispatch::{BackendKind, FlexKind};

impl<B: Backend> Linear<B> {
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
