//! Values of parameters that no part has.

use burn::tensor::TensorData;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A generator of its own for every tensor, so that one more or less leaves the others as they are.
pub(super) fn generator(seed: u64, name: &str) -> StdRng {
    // FNV-1a.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    StdRng::seed_from_u64(seed ^ hash)
}

/// The weight or bias of torch's `Linear`: uniform within `1 / sqrt(inputs)` of 0.
pub(super) fn linear(shape: &[usize], inputs: usize, mut rng: StdRng) -> TensorData {
    let bound = 1.0 / (inputs.max(1) as f32).sqrt();
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.random_range(-bound..=bound))
        .collect();
    TensorData::new(values, shape.to_vec())
}

/// Values of `normal(0, spread)`, by Box and Muller.
pub(super) fn normal(shape: &[usize], spread: f64, mut rng: StdRng) -> TensorData {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
            let angle = std::f64::consts::TAU * rng.random::<f64>();
            (spread * radius * angle.cos()) as f32
        })
        .collect();
    TensorData::new(values, shape.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(data: TensorData) -> Vec<f64> {
        data.iter::<f64>().collect()
    }

    fn spread(values: &[f64]) -> f64 {
        (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn draws_have_the_spread_asked_for_and_follow_the_seed() {
        let draw = |seed, name| values(linear(&[50, 64], 64, generator(seed, name)));
        let weights = draw(1, "a.weight");
        assert!(weights.iter().all(|x| x.abs() <= 0.125));
        assert!((spread(&weights) - 0.125 / 3f64.sqrt()).abs() < 0.003);
        assert_eq!(weights, draw(1, "a.weight"));
        assert_ne!(weights, draw(2, "a.weight"));
        assert_ne!(weights, draw(1, "b.weight"));

        let rows = values(normal(&[50, 64], 0.02, generator(1, "rows")));
        assert!((spread(&rows) - 0.02).abs() < 0.001);
        let mean = rows.iter().sum::<f64>() / rows.len() as f64;
        assert!(mean.abs() < 0.002, "{mean}");
        assert!(rows.iter().any(|x| x.abs() > 0.05), "not normal");
    }
}
