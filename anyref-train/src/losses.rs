//! Losses of the paper: cross-entropy on the answer, BCE and dice on the masks.

use anyref_ops as ops;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Int, Tensor, activation, backend::Backend};

/// Weight of the masks' BCE in the paper; the answer's cross-entropy has 1.
pub const BCE_WEIGHT: f64 = 2.0;
/// Weight of the dice loss in the paper.
pub const DICE_WEIGHT: f64 = 0.5;

/// Value of mask targets in cells outside of the picture, in the padding of SAM's square. No loss
/// counts them; the paper crops masks to the picture first.
pub const OUTSIDE: f32 = -1.0;

/// 1 where a target is in the picture, 0 where it is [`OUTSIDE`].
fn counted<B: Backend>(targets: &Tensor<B, 2>) -> Tensor<B, 2> {
    targets.clone().greater_equal_elem(0.0).float()
}

/// Value of a tensor with one element.
pub(crate) fn scalar<B: Backend>(tensor: Tensor<B, 1>) -> f64 {
    let data = tensor.into_data().convert::<f32>();
    f64::from(data.iter::<f32>().next().unwrap_or(f32::NAN))
}

/// Mean cross-entropy of logits `[n, classes]` against class indices `[n]`.
pub fn cross_entropy<B: Backend>(logits: Tensor<B, 2>, targets: Tensor<B, 1, Int>) -> Tensor<B, 1> {
    ops::token_losses(logits, targets).mean()
}

/// Binary cross-entropy with logits, averaged over a mask's pixels in the picture: `[masks]`.
///
/// # Shapes
/// - logits, targets: `[masks, height, width]`; targets 0 to 1, or [`OUTSIDE`]
pub fn mask_bce<B: Backend>(logits: Tensor<B, 3>, targets: Tensor<B, 3>) -> Tensor<B, 1> {
    let [masks, height, width] = logits.dims();
    let logits = logits.reshape([masks, height * width]);
    let targets = targets.reshape([masks, height * width]);
    let counted = counted(&targets);
    // -log sigmoid(x) = softplus(-x), and bce = softplus(x) - x t.
    let softplus = -activation::log_sigmoid(-logits.clone());
    let losses = (softplus - logits * targets) * counted.clone();
    (losses.sum_dim(1) / counted.sum_dim(1)).squeeze_dim(1)
}

/// Dice loss `1 - (2 intersection + 1) / (sum + sum + 1)` in the picture, `[masks]`.
///
/// # Shapes
/// - logits, targets: `[masks, height, width]`; targets 0 to 1, or [`OUTSIDE`]
pub fn mask_dice<B: Backend>(logits: Tensor<B, 3>, targets: Tensor<B, 3>) -> Tensor<B, 1> {
    let [masks, height, width] = logits.dims();
    let share = activation::sigmoid(logits).reshape([masks, height * width]);
    let targets = targets.reshape([masks, height * width]);
    let share = share * counted(&targets);
    let targets = targets.clamp_min(0.0);
    let intersection = (share.clone() * targets.clone()).sum_dim(1);
    let total = share.sum_dim(1) + targets.sum_dim(1);
    (-((intersection * 2.0 + 1.0) / (total + 1.0)) + 1.0).squeeze_dim(1)
}

/// IoU of `logits > 0` with `targets > 0.5` in the picture, `[masks]`; 1 when both are empty.
///
/// # Shapes
/// - logits, targets: `[masks, height, width]`; targets 0 to 1, or [`OUTSIDE`]
pub fn mask_iou<B: Backend>(logits: Tensor<B, 3>, targets: Tensor<B, 3>) -> Tensor<B, 1> {
    let [masks, height, width] = logits.dims();
    let predicted = logits
        .greater_elem(0.0)
        .float()
        .reshape([masks, height * width]);
    let targets = targets.reshape([masks, height * width]);
    let predicted = predicted * counted(&targets);
    let targets = targets.greater_elem(0.5).float();
    let intersection = (predicted.clone() * targets.clone()).sum_dim(1);
    let union = predicted.sum_dim(1) + targets.sum_dim(1) - intersection.clone();
    ((intersection + 1e-6) / (union + 1e-6)).squeeze_dim(1)
}

/// Resizes mask logits `[n, 1, h, w]` to `[n, size, size]`, bilinearly.
pub(crate) fn resized<B: Backend>(logits: Tensor<B, 4>, size: usize) -> Tensor<B, 3> {
    let [_, _, rows, _] = logits.dims();
    let logits = if rows == size {
        logits
    } else {
        let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
        burn::tensor::module::interpolate(logits, [size, size], options)
    };
    logits.squeeze_dim(1)
}

/// Number of rows of `logits`, `[n, classes]`, whose argmax is the class in `targets`, `[n]`.
pub(crate) fn hits<B: Backend>(logits: Tensor<B, 2>, targets: Tensor<B, 1, Int>) -> f64 {
    let best = activation::softmax(logits, 1).argmax(1).squeeze_dim::<1>(1);
    scalar(best.equal(targets).int().sum().float())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;

    fn one(values: [[f32; 2]; 2]) -> Tensor<Flex, 3> {
        Tensor::<Flex, 2>::from_data(values, &Default::default()).unsqueeze()
    }

    fn value(tensor: Tensor<Flex, 1>) -> f32 {
        tensor.into_scalar()
    }

    #[test]
    fn bce_is_the_mean_over_pixels() {
        let logits = [[0.0, 2.0], [-3.0, 40.0]];
        let targets = [[0.0, 1.0], [1.0, 1.0]];
        let expected: f32 = logits
            .iter()
            .flatten()
            .zip(targets.iter().flatten())
            .map(|(&x, &t): (&f32, &f32)| x.max(0.0) - x * t + (-x.abs()).exp().ln_1p())
            .sum::<f32>()
            / 4.0;
        assert!((value(mask_bce(one(logits), one(targets))) - expected).abs() < 1e-5);
    }

    #[test]
    fn dice_and_iou_know_perfect_and_empty_masks() {
        let targets = one([[1.0, 1.0], [0.0, 0.0]]);
        let right = one([[50.0, 50.0], [-50.0, -50.0]]);
        let wrong = one([[-50.0, -50.0], [50.0, 50.0]]);
        assert!(value(mask_dice(right.clone(), targets.clone())).abs() < 1e-6);
        // 1 - (0 + 1) / (2 + 2 + 1)
        assert!((value(mask_dice(wrong.clone(), targets.clone())) - 0.8).abs() < 1e-6);
        assert!((value(mask_iou(right, targets.clone())) - 1.0).abs() < 1e-6);
        assert!(value(mask_iou(wrong, targets)) < 1e-5);
        let empty = one([[0.0; 2]; 2]);
        assert!((value(mask_iou(one([[-1.0; 2]; 2]), empty)) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_lies_outside_of_the_picture_is_not_counted() {
        let cut = |full: Tensor<Flex, 3>| full.narrow(1, 0, 1);
        let targets = one([[1.0, 0.25], [OUTSIDE, OUTSIDE]]);
        for below in [[90.0, -3.0], [0.5, 7.0]] {
            let logits = one([[1.5, -0.5], below]);
            let inside = |loss: fn(Tensor<Flex, 3>, Tensor<Flex, 3>) -> Tensor<Flex, 1>| {
                let whole = value(loss(logits.clone(), targets.clone()));
                let part = value(loss(cut(logits.clone()), cut(targets.clone())));
                assert!((whole - part).abs() < 1e-6, "{whole} {part}");
            };
            inside(mask_bce);
            inside(mask_dice);
            inside(mask_iou);
        }
    }

    #[test]
    fn cross_entropy_is_minus_the_log_probability() {
        let device = Default::default();
        let logits = Tensor::<Flex, 2>::from_data([[1.0, 2.0, 3.0]], &device);
        let target = Tensor::<Flex, 1, Int>::from_data([2], &device);
        let expected = (1.0_f32.exp() + 2.0_f32.exp() + 3.0_f32.exp()).ln() - 3.0;
        assert!((value(cross_entropy(logits, target)) - expected).abs() < 1e-5);
    }
}
