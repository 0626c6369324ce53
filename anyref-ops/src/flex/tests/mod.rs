//! Fused forms compared with the composed ones.

mod activation;
mod attention;
mod bench;
mod broadcast;
mod cached_attention;
mod linear;
mod norm;
mod rows;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::BalancedCheckpointing;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;

type TestBackend = Flex;
type TestAutodiff = Autodiff<Flex>;
type TestBalanced = Autodiff<Flex, BalancedCheckpointing>;

/// Reproducible values, roughly normal.
fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<TestBackend, D> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let values = (0..shape.iter().product())
        .map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0)
        .collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn values<const D: usize>(tensor: Tensor<TestBackend, D>) -> Vec<f32> {
    tensor.into_data().to_vec().expect("f32")
}

/// Largest difference; infinite if there is a NaN.
fn difference<const D: usize>(a: Tensor<TestBackend, D>, b: Tensor<TestBackend, D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (values(a), values(b));
    a.iter().zip(&b).fold(0.0, |worst: f32, (a, b)| {
        let d = (a - b).abs();
        if d.is_nan() {
            f32::INFINITY
        } else {
            worst.max(d)
        }
    })
}
