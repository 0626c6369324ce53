//! Muon: momentum whose matrix is orthogonalised before it is applied.
//!
//! Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). The
//! scale of its updates follows J. Liu et al., "Muon is scalable for LLM training" (2025, section
//! 2.2), so that AdamW's learning rates and weight decays apply.

use burn::tensor::{Tensor, backend::Backend};

/// Decay of the momentum.
const MOMENTUM: f32 = 0.95;
/// Coefficients of the quintic iteration, the steepest at zero that keeps singular values near one.
const QUINTIC: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Number of iterations; five bring singular values from 0.005 to about one.
const ITERATIONS: usize = 5;
/// Root mean square of AdamW's updates, to which Muon's are scaled.
const ADAMW_RMS: f64 = 0.2;

/// Updates a matrix `[in, out]` by its gradient and the velocity so far. Returns the new matrix and
/// velocity.
pub(super) fn step<B: Backend>(
    matrix: Tensor<B, 2>,
    gradient: Tensor<B, 2>,
    velocity: Option<Tensor<B, 2>>,
    learning_rate: f64,
    weight_decay: f32,
) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let velocity = match velocity {
        Some(velocity) => velocity * MOMENTUM + gradient.clone(),
        None => gradient.clone(),
    };
    let [rows, columns] = matrix.dims();
    let direction = orthogonal(velocity.clone() * MOMENTUM + gradient);
    let size = learning_rate * ADAMW_RMS * (rows.max(columns) as f64).sqrt();
    let kept = 1.0 - learning_rate * f64::from(weight_decay);
    (matrix * kept - direction * size, velocity)
}

/// Matrix with all its singular values near one, by the Newton-Schulz iteration; zeros stay zeros.
fn orthogonal<B: Backend>(matrix: Tensor<B, 2>) -> Tensor<B, 2> {
    let [rows, columns] = matrix.dims();
    // Products between rows are smaller when there are fewer rows than columns.
    let tall = rows > columns;
    let matrix = if tall { matrix.transpose() } else { matrix };
    let norm = (matrix.clone() * matrix.clone()).sum().sqrt() + 1e-12;
    let mut x = matrix / norm.unsqueeze();
    let [linear, cubic, quintic] = QUINTIC;
    for _ in 0..ITERATIONS {
        let gram = x.clone().matmul(x.clone().transpose());
        let odd = gram.clone() * cubic + gram.clone().matmul(gram) * quintic;
        x = x.clone() * linear + odd.matmul(x);
    }
    if tall { x.transpose() } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;
    use burn::tensor::Distribution;

    type B = Flex;

    /// Checks the singular values of the result through its product with its own transpose.
    #[test]
    fn all_directions_become_equally_long() {
        let device = Default::default();
        B::seed(&device, 3);
        for shape in [[24, 40], [40, 24], [32, 32]] {
            let matrix = Tensor::<B, 2>::random(shape, Distribution::Normal(0.0, 3.0), &device);
            let x = orthogonal(matrix.clone());
            assert_eq!(x.dims(), shape);
            let small = if shape[0] > shape[1] {
                x.clone().transpose().matmul(x.clone())
            } else {
                x.clone().matmul(x.clone().transpose())
            };
            let count = shape[0].min(shape[1]) as f32;
            let trace: f32 = (x.clone() * x.clone()).sum().into_scalar();
            assert!((0.6..1.4).contains(&(trace / count)), "{trace} of {count}");
            let squares: f32 = (small.clone() * small).sum().into_scalar();
            // The mean fourth power of the singular values comes close to the square of their mean
            // square.
            assert!(squares / count < 1.6, "{squares} of {count}");
            // The direction of the matrix is kept.
            let along: f32 = (x * matrix).sum().into_scalar();
            assert!(along > 0.0);
        }
    }

    #[test]
    fn updates_are_as_large_as_adamws() {
        let device = Default::default();
        B::seed(&device, 4);
        let matrix = Tensor::<B, 2>::zeros([48, 96], &device);
        let gradient = Tensor::<B, 2>::random([48, 96], Distribution::Normal(0.0, 1e-3), &device);
        let (updated, velocity) = step(matrix, gradient.clone(), None, 0.01, 0.1);
        assert_eq!(velocity.to_data(), gradient.to_data());
        let rms: f32 = (updated.clone() * updated).mean().sqrt().into_scalar();
        assert!((0.5..1.5).contains(&(rms / 0.002)), "{rms}");
    }

    #[test]
    fn no_gradient_leaves_only_the_decay() {
        let device = Default::default();
        let matrix = Tensor::<B, 2>::ones([3, 2], &device);
        let zeros = Tensor::<B, 2>::zeros([3, 2], &device);
        let (updated, _) = step(matrix, zeros, None, 0.5, 0.2);
        let values: Vec<f32> = updated.into_data().to_vec().unwrap();
        assert!(values.iter().all(|value| (value - 0.9).abs() < 1e-6));
    }
}
