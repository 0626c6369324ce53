//! Choice of a prompt's single mask, replaced by a better one of several if it is not stable.

use burn::config::Config;
use burn::tensor::{Bool, DType, Int, Tensor, backend::Backend};

/// Condition for replacing the single mask of a prompt by one of several (SAM 2 `mask_decoder.py`,
/// `dynamic_multimask_via_stability`).
#[derive(Config, Debug, PartialEq)]
pub struct Stability {
    /// Threshold offset: stability is the IoU of the masks at `delta` above and below 0.
    #[config(default = 0.05)]
    pub delta: f64,
    /// Stability below which a mask is replaced.
    #[config(default = 0.98)]
    pub thresh: f64,
}

impl Stability {
    /// Chooses the first mask where it is stable, otherwise the other mask with the highest
    /// estimate.
    ///
    /// # Shapes
    /// - masks: `[n, m, h, w]`, `m` at least 2
    /// - estimates: `[n, m]`
    /// - output: `[n, 1, h, w]` and `[n, 1]`
    pub(super) fn choose<B: Backend>(
        &self,
        masks: Tensor<B, 4>,
        estimates: Tensor<B, 2>,
    ) -> (Tensor<B, 4>, Tensor<B, 2>) {
        let [prompts, count, height, width] = masks.dims();
        let others = count - 1;
        let single = masks.clone().narrow(1, 0, 1);
        let stable = self.is_stable(single.clone());

        // Row of the best other mask among all masks.
        let best = estimates.clone().narrow(1, 1, others).argmax(1);
        let first = Tensor::<B, 1, Int>::arange(0..prompts as i64, &masks.device());
        let rows = first * count as i64 + best.reshape([prompts]) + 1;
        let best = masks
            .reshape([prompts * count, height, width])
            .select(0, rows.clone())
            .reshape([prompts, 1, height, width]);
        let best_estimate = estimates
            .clone()
            .reshape([prompts * count])
            .select(0, rows)
            .reshape([prompts, 1]);

        let everywhere = stable
            .clone()
            .reshape([prompts, 1, 1, 1])
            .expand([prompts, 1, height, width]);
        (
            best.mask_where(everywhere, single),
            best_estimate.mask_where(stable, estimates.narrow(1, 0, 1)),
        )
    }

    /// Tests for masks that hardly change with the threshold; an empty one is stable.
    ///
    /// # Shapes
    /// - masks: `[n, 1, h, w]`
    /// - output: `[n, 1]`
    fn is_stable<B: Backend>(&self, masks: Tensor<B, 4>) -> Tensor<B, 2, Bool> {
        let [prompts, _, height, width] = masks.dims();
        let pixels = masks.cast(DType::F32).reshape([prompts, height * width]);
        // Counts of pixels are exact in f32, regardless of the model's type.
        let area = |threshold: f64| {
            let inside = pixels.clone().greater_elem(threshold);
            pixels.zeros_like().mask_fill(inside, 1.0).sum_dim(1)
        };
        let (inner, outer) = (area(self.delta), area(-self.delta));
        let empty = outer.clone().lower_equal_elem(0.0);
        (inner / outer)
            .mask_fill(empty, 1.0)
            .greater_equal_elem(self.thresh)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn_flex::Flex;

    #[test]
    fn unstable_masks_give_way_to_the_best_of_the_others() {
        let device = Default::default();
        // Three prompts with three masks of two pixels: stable, unstable, empty.
        let masks = Tensor::<Flex, 4>::from_data(
            [
                [[[3.0, -3.0]], [[1.0, 1.0]], [[2.0, 2.0]]],
                [[[0.01, 3.0]], [[1.0, 1.0]], [[2.0, 2.0]]],
                [[[-3.0, -3.0]], [[1.0, 1.0]], [[2.0, 2.0]]],
            ],
            &device,
        );
        let estimates = Tensor::<Flex, 2>::from_data(
            [[0.1, 0.5, 0.4], [0.1, 0.4, 0.5], [0.2, 0.5, 0.4]],
            &device,
        );
        let (masks, estimates) = Stability::new().choose(masks, estimates);
        let masks: Vec<f32> = masks.into_data().to_vec().unwrap();
        assert_eq!(masks, [3.0, -3.0, 2.0, 2.0, -3.0, -3.0]);
        let estimates: Vec<f32> = estimates.into_data().to_vec().unwrap();
        assert_eq!(estimates, [0.1, 0.5, 0.2]);
    }
}
