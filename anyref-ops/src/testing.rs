//! Helpers for tests: seeded modules and comparisons.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Fills every float parameter with values uniform in `[-scale, scale]`, equal for equal seeds and
/// modules on every backend.
///
/// # Panics
/// When `scale` is negative or not finite.
pub fn fill<B: Backend, M: Module<B>>(module: M, seed: u64, scale: f32) -> M {
    struct Fill {
        rng: StdRng,
        scale: f32,
    }

    impl<B: Backend> ModuleMapper<B> for Fill {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            let (id, device, shape) = (param.id, param.lazy_device(), param.lazy_shape());
            let elements = shape.num_elements();
            let values: Vec<f32> = (0..elements)
                .map(|_| self.rng.random_range(-self.scale..=self.scale))
                .collect();
            let data = TensorData::new(values, shape);
            param.transform_for_load(Tensor::from_data(data, &device), id)
        }
    }

    module.map(&mut Fill {
        rng: StdRng::seed_from_u64(seed),
        scale,
    })
}

/// Random tensor of values uniform in `[-1, 1]`, equal for equal seeds on every backend.
pub fn random<B: Backend, const D: usize>(
    shape: [usize; D],
    seed: u64,
    device: &B::Device,
) -> Tensor<B, D> {
    let mut rng = StdRng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.random_range(-1.0..=1.0))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Greatest absolute difference of two tensors.
///
/// # Panics
/// When their shapes differ or a value is NaN.
pub fn max_abs_error<B: Backend, const D: usize>(a: &Tensor<B, D>, b: &Tensor<B, D>) -> f64 {
    max_abs_difference(&a.to_data(), &b.to_data())
}

/// Greatest absolute difference of two data blocks, see [`max_abs_error`].
///
/// # Panics
/// When their shapes differ or a value is NaN.
pub fn max_abs_difference(a: &TensorData, b: &TensorData) -> f64 {
    assert_eq!(a.shape, b.shape, "shapes differ");
    let mut worst = 0.0f64;
    for (i, (x, y)) in a.iter::<f64>().zip(b.iter::<f64>()).enumerate() {
        assert!(!x.is_nan() && !y.is_nan(), "element {i} is {x} and {y}");
        if x != y {
            worst = worst.max((x - y).abs());
        }
    }
    worst
}

/// Asserts that no element differs by more than `tolerance`.
///
/// # Panics
/// When one does, naming the greatest difference.
#[track_caller]
pub fn assert_close<B: Backend, const D: usize>(
    a: &Tensor<B, D>,
    b: &Tensor<B, D>,
    tolerance: f64,
) {
    let error = max_abs_error(a, b);
    assert!(
        error <= tolerance,
        "greatest difference {error:.3e}, allowed {tolerance:.1e}"
    );
}
