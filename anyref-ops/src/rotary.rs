//! Rotary positions.

use super::dispatch::on_gpu_without_gradients;
#[cfg(feature = "flex")]
use super::flex;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

/// Cosines and sines of the angles used by [`rotary`]. They carry no gradient.
#[derive(Debug, Clone)]
pub struct Angles<B: Backend> {
    /// `[batch or 1, 1, length, head_dim / 2]`
    pub cos: Tensor<B, 4>,
    /// `[batch or 1, 1, length, head_dim / 2]`
    pub sin: Tensor<B, 4>,
    swapped: Option<Swapped<B>>,
}

/// Cosines and sines that rotate whole heads at once, using their components and a copy with the
/// halves swapped.
#[derive(Debug, Clone)]
struct Swapped<B: Backend> {
    /// `[batch or 1, 1, length, head_dim]`
    cos: Tensor<B, 4>,
    /// `[batch or 1, 1, length, head_dim]`, the first half negative.
    sin: Tensor<B, 4>,
    /// `[head_dim]`: index of the component that each one is paired with.
    other: Tensor<B, 1, Int>,
}

impl<B: Backend> Angles<B> {
    /// # Shapes
    /// - cos and sin: `[batch or 1, 1, length, head_dim / 2]`
    pub fn new(cos: Tensor<B, 4>, sin: Tensor<B, 4>) -> Self {
        // On a GPU these are two kernels, where separate halves take five; the gradient of a
        // selection is slow.
        let whole = on_gpu_without_gradients::<B>(&cos.device());
        let swapped = whole.then(|| Swapped::new(&cos, &sin));
        Self { cos, sin, swapped }
    }
}

impl<B: Backend> Swapped<B> {
    fn new(cos: &Tensor<B, 4>, sin: &Tensor<B, 4>) -> Self {
        let half = cos.dims()[3] as i64;
        let other: Vec<i64> = (half..2 * half).chain(0..half).collect();
        let length = other.len();
        Self {
            cos: Tensor::cat(vec![cos.clone(), cos.clone()], 3),
            sin: Tensor::cat(vec![-sin.clone(), sin.clone()], 3),
            other: Tensor::from_data(TensorData::new(other, [length]), &cos.device()),
        }
    }

    fn turn(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let other = x.clone().select(3, self.other.clone());
        x * self.cos.clone() + other * self.sin.clone()
    }
}

/// Rotates component `i` of every head together with component `i + head_dim / 2`, the half-split
/// layout of transformers' `apply_rotary_pos_emb`.
///
/// # Shapes
/// - x and output: `[batch, heads, length, head_dim]`
pub fn rotary<B: Backend>(x: Tensor<B, 4>, angles: &Angles<B>) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    let x = match flex::rotary(x, angles) {
        Ok(y) => return y,
        Err(x) => x,
    };
    match &angles.swapped {
        Some(swapped) => swapped.turn(x),
        None => composed(x, angles),
    }
}

/// Composed form, in burn's own tensor operations.
pub(super) fn composed<B: Backend>(x: Tensor<B, 4>, angles: &Angles<B>) -> Tensor<B, 4> {
    let Angles { cos, sin, .. } = angles;
    let half = x.dims()[3] / 2;
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    let turned = vec![
        first.clone() * cos.clone() - second.clone() * sin.clone(),
        second * cos.clone() + first * sin.clone(),
    ];
    Tensor::cat(turned, 3)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};
    use burn_flex::Flex;

    #[test]
    fn whole_heads_turn_as_their_halves_do() {
        let device = Default::default();
        let x = random::<Flex, 4>([2, 3, 5, 8], 1, &device);
        let angle = random::<Flex, 4>([1, 1, 5, 4], 2, &device) * 3.0;
        let angles = Angles::new(angle.clone().cos(), angle.sin());
        let whole = Swapped::new(&angles.cos, &angles.sin).turn(x.clone());
        assert_close(&whole, &composed(x, &angles), 1e-6);
    }
}
