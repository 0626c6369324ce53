//! Gradients by kernels compared with their definitions in f64.

mod attention;
mod recomputed;
mod reference;

use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Int, Tensor, TensorData};

use self::reference::{assert_slopes, norm_gradients};
use super::{allowed, assert_near, each_type, normed, numbers, tensor};
use crate::cube::calls::NormParameters;
use crate::cube::gradients::{add_norm, norm, rotate, swiglu, token_losses};

/// Leaf of a graph.
fn leaf<B: Backend, const D: usize>(
    values: &[f64],
    shape: [usize; D],
    dtype: DType,
) -> Tensor<Autodiff<B>, D> {
    constant(values, shape, dtype).require_grad()
}

/// Tensor of a graph without a gradient.
fn constant<B: Backend, const D: usize>(
    values: &[f64],
    shape: [usize; D],
    dtype: DType,
) -> Tensor<Autodiff<B>, D> {
    Tensor::from_inner(tensor::<B, D>(values, shape, dtype))
}

/// Gradients of the sum of `output * above`, which is not computed: the backward pass of any tensor
/// starts from ones, and a sum would be tuned for each size.
fn backward<B: Backend, const D: usize>(
    output: Tensor<Autodiff<B>, D>,
    above: Tensor<Autodiff<B>, D>,
) -> <Autodiff<B> as AutodiffBackend>::Gradients {
    (output * above).backward()
}

/// Widths of one value, odd ones, ones below and above a cube's units; more rows than sums of
/// parameters' gradients, and, without these, than cubes lie abreast.
fn norms_have_gradients<B: Backend>() {
    let epsilon = 1e-3;
    for [rows, width] in [[1, 1], [3, 7], [2, 1000], [3, 2048], [300, 33], [32_770, 4]] {
        each_type::<B>(|dtype| {
            for centred in [false, true] {
                let case = format!("{rows}x{width} {dtype:?} {centred}");
                let (x, added) = (numbers(rows * width, 1), numbers(rows * width, 2));
                let (gamma, shift) = (numbers(width, 3), numbers(width, 4));
                let (above, of_sum) = (numbers(rows * width, 5), numbers(rows * width, 6));
                let frozen = rows > 1000;
                let parameter = |values: &[f64]| match frozen {
                    true => constant::<B, 1>(values, [width], dtype),
                    false => leaf::<B, 1>(values, [width], dtype),
                };
                let parameters = NormParameters {
                    gamma: parameter(&gamma),
                    beta: centred.then(|| parameter(&shift)),
                    epsilon,
                };
                let shape = [1, rows, width];
                let beta = centred.then_some(shift.as_slice());

                let leaf_x = leaf::<B, 3>(&x, shape, dtype);
                let found = norm(&leaf_x, &parameters).expect("a kernel");
                let expected = normed(&x, &gamma, beta, epsilon);
                assert_near(&case, found.clone().inner(), &expected, allowed(dtype));
                let grads = backward(found, constant(&above, shape, dtype));
                let expected = norm_gradients(&x, &gamma, &above, centred, epsilon);
                let error = 4.0 * allowed(dtype);
                let of_x = leaf_x.grad(&grads).expect("a gradient");
                assert_near(&case, of_x, &expected.rows, error);
                let of_gamma = parameters.gamma.grad(&grads);
                assert_eq!(of_gamma.is_some(), !frozen, "{case}");
                if let Some(of_gamma) = of_gamma {
                    assert_near(&case, of_gamma, &expected.scale, error);
                }
                let beta = parameters.beta.as_ref();
                if let Some(of_beta) = beta.and_then(|beta| beta.grad(&grads)) {
                    assert_near(&case, of_beta, &expected.shift, error);
                }

                // The sum is an output too, with a gradient of its own.
                let leaves = [&x, &added].map(|x| leaf::<B, 3>(x, shape, dtype));
                let [sum, found] = add_norm(&leaves[0], &leaves[1], &parameters).expect("a kernel");
                let of_found = found * constant(&above, shape, dtype);
                let grads = (of_found + sum * constant(&of_sum, shape, dtype)).backward();
                let summed: Vec<f64> = x.iter().zip(&added).map(|(x, y)| x + y).collect();
                let expected = norm_gradients(&summed, &gamma, &above, centred, epsilon).rows;
                let expected = expected.iter().zip(&of_sum).map(|(x, y)| x + y);
                let expected: Vec<f64> = expected.collect();
                for leaf in &leaves {
                    let of_leaf = leaf.grad(&grads).expect("a gradient");
                    assert_near(&case, of_leaf, &expected, error);
                }
            }
        });
    }
}

/// One value, and numbers of them that are and are not whole vectors.
fn gated_activations_have_gradients<B: Backend>() {
    for shape in [[1, 1], [3, 7], [5, 256], [2, 1000]] {
        each_type::<B>(|dtype| {
            let case = format!("{shape:?} {dtype:?}");
            let count = shape[0] * shape[1];
            let [gate, up, above] = [1, 2, 3].map(|seed| numbers(count, seed));
            let (gates, ups) = (leaf::<B, 2>(&gate, shape, dtype), leaf(&up, shape, dtype));
            let found = swiglu(&gates, &ups).expect("a kernel");
            let grads = backward(found, constant(&above, shape, dtype));
            let share = |x: f64| 1.0 / (1.0 + (-x).exp());
            let slope = |x: f64| share(x) * (1.0 + x * (1.0 - share(x)));
            let of = |f: &dyn Fn(usize) -> f64| (0..count).map(f).collect::<Vec<f64>>();
            let of_gate = of(&|i| above[i] * up[i] * slope(gate[i]));
            let of_up = of(&|i| above[i] * gate[i] * share(gate[i]));
            let error = 2.0 * allowed(dtype);
            assert_near(&case, gates.grad(&grads).expect("one"), &of_gate, error);
            assert_near(&case, ups.grad(&grads).expect("one"), &of_up, error);
        });
    }
}

/// Queries and keys of different heads; the gradient of a rotation is the inverse rotation.
fn rotations_have_gradients<B: Backend>() {
    for [batch, heads, kv_heads, length, width] in
        [[1, 1, 1, 1, 2], [2, 4, 2, 3, 6], [3, 2, 1, 5, 64]]
    {
        each_type::<B>(|dtype| {
            let half = width / 2;
            let [cos, sin] = [3, 4].map(|seed| numbers(length * half, seed));
            let back = |x: &[f64]| {
                let mut turned = vec![0.0; x.len()];
                for row in 0..x.len() / width {
                    for i in 0..half {
                        let angle = row % length * half + i;
                        let (c, s) = (cos[angle], sin[angle]);
                        let (a, b) = (x[row * width + i], x[row * width + half + i]);
                        turned[row * width + i] = a * c + b * s;
                        turned[row * width + half + i] = b * c - a * s;
                    }
                }
                turned
            };
            let angles = [&cos, &sin].map(|x| constant::<B, 4>(x, [1, 1, length, half], dtype));
            let shapes = [heads, kv_heads].map(|heads| [batch, heads, length, width]);
            let of = |index: usize, seed| numbers(shapes[index].iter().product(), seed);
            let leaves = [0, 1].map(|i| leaf::<B, 4>(&of(i, 1), shapes[i], dtype));
            let [query, key] =
                rotate([&leaves[0], &leaves[1]], [&angles[0], &angles[1]]).expect("a kernel");
            let above = [0, 1].map(|i| of(i, 2));
            let outputs = [query, key].map(|x| x.flatten::<1>(0, 3));
            let above_both = above.concat();
            let above_both = constant(&above_both, [above_both.len()], dtype);
            let grads = backward(Tensor::cat(outputs.into(), 0), above_both);
            for (leaf, above) in leaves.iter().zip(&above) {
                let case = format!("{batch} {heads} {length} {width} {dtype:?}");
                let found = leaf.grad(&grads).expect("a gradient");
                assert_near(&case, found, &back(above), allowed(dtype));
            }
        });
    }
}

/// One class and several, whole vectors of them and not, more than a cube's units.
fn cross_entropies_have_gradients<B: Backend>() {
    for [rows, classes] in [[1, 1], [3, 7], [5, 256], [300, 33], [2, 4099]] {
        each_type::<B>(|dtype| {
            let case = format!("{rows}x{classes} {dtype:?}");
            let logits = numbers(rows * classes, 1);
            let targets: Vec<i32> = (0..rows).map(|i| (i * 37 % classes) as i32).collect();
            let above = numbers(rows, 2);
            let mut losses = Vec::new();
            let mut expected = Vec::new();
            for (row, logits) in logits.chunks_exact(classes).enumerate() {
                let target = targets[row] as usize;
                let sum: f64 = logits.iter().map(|x| x.exp()).sum();
                losses.push(sum.ln() - logits[target]);
                let of = |(i, x): (usize, &f64)| {
                    (x.exp() / sum - f64::from(u8::from(i == target))) * above[row]
                };
                expected.extend(logits.iter().enumerate().map(of));
            }
            let leaf = leaf::<B, 2>(&logits, [rows, classes], dtype);
            let targets = Tensor::<Autodiff<B>, 1, Int>::from_data(
                TensorData::new(targets, [rows]),
                &Default::default(),
            );
            let found = token_losses(&leaf, &targets).expect("a kernel");
            assert_eq!(found.dtype(), DType::F32);
            assert_near(&case, found.clone().inner(), &losses, allowed(DType::F32));
            let above = constant::<B, 1>(&above, [rows], DType::F32);
            let grads = backward(found, above);
            let found = leaf.grad(&grads).expect("a gradient");
            assert_near(&case, found, &expected, allowed(dtype));
        });
    }
}

/// The definition's gradients are slopes of the definition.
#[test]
fn definitions_have_the_gradients_of_finite_differences() {
    let (rows, width, epsilon) = (3, 5, 1e-2);
    let [x, above] = [1, 2].map(|seed| numbers(rows * width, seed));
    let gamma = numbers(width, 3);
    for centred in [false, true] {
        let zeros = vec![0.0; width];
        let beta = centred.then_some(zeros.as_slice());
        let along = |x: &[f64], gamma: &[f64]| -> f64 {
            let normed = normed(x, gamma, beta, epsilon);
            normed.iter().zip(&above).map(|(x, y)| x * y).sum()
        };
        let expected = norm_gradients(&x, &gamma, &above, centred, epsilon);
        assert_slopes(&x, &expected.rows, |x| along(x, &gamma));
        assert_slopes(&gamma, &expected.scale, |gamma| along(&x, gamma));
    }
}

macro_rules! backend {
    ($name:ident, $backend:ty) => {
        mod $name {
            type B = $backend;

            #[test]
            fn norms_have_gradients() {
                super::norms_have_gradients::<B>();
            }

            #[test]
            fn gated_activations_have_gradients() {
                super::gated_activations_have_gradients::<B>();
            }

            #[test]
            fn rotations_have_gradients() {
                super::rotations_have_gradients::<B>();
            }

            #[test]
            fn cross_entropies_have_gradients() {
                super::cross_entropies_have_gradients::<B>();
            }

            #[test]
            fn attention_has_gradients() {
                super::attention::attention_has_gradients::<B>();
            }

            #[test]
            fn views_have_gradients() {
                super::attention::views_have_gradients::<B>();
            }

            #[test]
            fn attention_without_gradients_is_that_of_the_backend() {
                super::attention::attention_without_gradients_is_that_of_the_backend::<B>();
            }

            #[test]
            fn recomputed_outputs_have_equal_gradients() {
                super::recomputed::recomputed_outputs_have_equal_gradients::<B>();
            }
        }
    };
}

#[cfg(feature = "wgpu")]
backend!(wgpu, burn::backend::Wgpu);
#[cfg(feature = "vulkan")]
backend!(vulkan, burn::backend::Vulkan);
#[cfg(feature = "vulkan")]
backend!(
    vulkan_without_fusion,
    burn::backend::wgpu::CubeBackend<burn::backend::wgpu::WgpuRuntime, f32, i32, u32>
);
#[cfg(feature = "cuda")]
backend!(cuda, burn::backend::Cuda);
