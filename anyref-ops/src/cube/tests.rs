//! Fused operations compared with their definitions in f64.

mod gradients;
mod joined;
mod placed_norms;
mod row_products;
mod short_products;
mod views;

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData};

use super::calls::{
    Appending, DenseProduct, NormParameters, add_norm, gated_product, norm, one_product, rotate,
    rotate_and_append, swiglu, three_products,
};
use super::rotary_append::RotaryAppend;
use crate::blocks::random::random_bytes;

mod attention;

const TYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// Relative error that values of a type may have after a few roundings.
fn allowed(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 3e-3,
        DType::BF16 => 2e-2,
        _ => 2e-5,
    }
}

/// Numbers from -2 to 2 that every float type holds exactly.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let values = random_bytes(count, seed);
    values
        .iter()
        .map(|&x| (f64::from(x) - 127.0) / 64.0)
        .collect()
}

fn tensor<B: Backend, const D: usize>(
    values: &[f64],
    shape: [usize; D],
    dtype: DType,
) -> Tensor<B, D> {
    let device = Default::default();
    let data = TensorData::new(values.to_vec(), shape).convert_dtype(dtype);
    Tensor::from_data(data, (&device, dtype))
}

#[track_caller]
fn assert_near<B: Backend, const D: usize>(
    case: &str,
    found: Tensor<B, D>,
    expected: &[f64],
    allowed: f64,
) {
    let found: Vec<f64> = found.into_data().iter::<f64>().collect();
    assert_eq!(found.len(), expected.len(), "{case}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        // Sums may cancel, so that small results have the error of their summands.
        let bound = allowed * (expected.abs() + 1.0);
        assert!(
            error <= bound,
            "{case} [{index}]: {found}, not {expected}: {error} > {bound}"
        );
    }
}

/// Tries each float type that a backend has.
fn each_type<B: Backend>(check: impl Fn(DType)) {
    for dtype in TYPES {
        if B::supports_dtype(&B::Device::default(), dtype) {
            check(dtype);
        }
    }
}

/// Normalised rows of `x`, `[.., d]`.
fn normed(x: &[f64], gamma: &[f64], beta: Option<&[f64]>, epsilon: f64) -> Vec<f64> {
    let width = gamma.len();
    let rows = x.chunks_exact(width).flat_map(|row| {
        let mean = beta.map_or(0.0, |_| row.iter().sum::<f64>() / width as f64);
        let square = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        let scale = 1.0 / (square + epsilon).sqrt();
        let shift = |index: usize| beta.map_or(0.0, |beta| beta[index]);
        let of = move |(index, x): (usize, &f64)| (x - mean) * scale * gamma[index] + shift(index);
        row.iter().enumerate().map(of).collect::<Vec<_>>()
    });
    rows.collect()
}

/// Widths of one value, odd ones, ones below and above a cube's units, and more rows than cubes
/// lie abreast.
fn norms_are_their_definition<B: Backend>() {
    let epsilon = 1e-3;
    for [rows, width] in [[1, 1], [3, 7], [5, 64], [2, 1000], [7, 2048], [32_770, 4]] {
        each_type::<B>(|dtype| {
            for centred in [false, true] {
                let case = format!("{rows}x{width} {dtype:?} {centred}");
                let (x, added) = (numbers(rows * width, 1), numbers(rows * width, 2));
                let (gamma, beta) = (numbers(width, 3), numbers(width, 4));
                let beta = centred.then_some(beta.as_slice());
                let parameters = NormParameters::<B> {
                    gamma: tensor(&gamma, [width], dtype),
                    beta: beta.map(|beta| tensor(beta, [width], dtype)),
                    epsilon,
                };
                let rows_of = |x: &[f64]| tensor::<B, 3>(x, [1, rows, width], dtype);
                let found = norm(&rows_of(&x), &parameters).expect("a kernel");
                let expected = normed(&x, &gamma, beta, epsilon);
                assert_near(&case, found, &expected, allowed(dtype));

                // The sum of two such numbers is exact.
                let sum: Vec<f64> = x.iter().zip(&added).map(|(x, y)| x + y).collect();
                let found = add_norm(&rows_of(&x), &rows_of(&added), &parameters);
                let [found_sum, found] = found.expect("a kernel");
                assert_near(&case, found_sum, &sum, allowed(dtype));
                let expected = normed(&sum, &gamma, beta, epsilon);
                assert_near(&case, found, &expected, allowed(dtype));
            }
        });
    }
}

/// Queries and keys of different heads, in their own order and as views of tokens' heads, with one
/// rotation for all rows and one for each.
fn rotations_are_their_definition<B: Backend>() {
    for [batch, heads, kv_heads, length, width] in
        [[1, 1, 1, 1, 2], [2, 4, 2, 3, 6], [3, 2, 1, 1, 64]]
    {
        each_type::<B>(|dtype| {
            for (permuted, angle_rows) in [(false, 1), (true, 1), (false, batch), (true, batch)] {
                let case = format!("{batch} {heads} {length} {width} {dtype:?} {permuted}");
                let half = width / 2;
                let count = angle_rows * length * half;
                let (cos, sin) = (numbers(count, 3), numbers(count, 4));
                let of = |x: &[f64], heads: usize| {
                    let mut turned = vec![0.0; x.len()];
                    for row in 0..batch * heads * length {
                        let (rest, position) = (row / length, row % length);
                        let angles = (rest / heads).min(angle_rows - 1) * length + position;
                        for i in 0..half {
                            let (c, s) = (cos[angles * half + i], sin[angles * half + i]);
                            let (a, b) = (x[row * width + i], x[row * width + half + i]);
                            turned[row * width + i] = a * c - b * s;
                            turned[row * width + half + i] = b * c + a * s;
                        }
                    }
                    turned
                };
                let view = |x: &[f64], heads: usize| {
                    let x = tensor::<B, 4>(x, [batch, heads, length, width], dtype);
                    match permuted {
                        // Computed in the order of tokens, read in that of heads.
                        true => (x.permute([0, 2, 1, 3]) + 0.0).permute([0, 2, 1, 3]),
                        false => x,
                    }
                };
                let angles = |x: &[f64]| tensor::<B, 4>(x, [angle_rows, 1, length, half], dtype);
                let query = numbers(batch * heads * length * width, 1);
                let key = numbers(batch * kv_heads * length * width, 2);
                let (query_view, key_view) = (view(&query, heads), view(&key, kv_heads));
                let found = rotate([&query_view, &key_view], [&angles(&cos), &angles(&sin)]);
                let [found_query, found_key] = found.expect("a kernel");
                assert_near(&case, found_query, &of(&query, heads), allowed(dtype));
                assert_near(&case, found_key, &of(&key, kv_heads), allowed(dtype));
            }
        });
    }
}

/// Positions written behind others of a cache, in its type, which another tensor holds as well in
/// the first round and none in the second.
fn rotations_are_appended<B: Backend>() {
    let (batch, heads, kv_heads, length, width) = (2, 4, 2, 3, 10);
    let (capacity, first, half) = (9, 4, width / 2);
    each_type::<B>(|dtype| {
        for cache_type in [dtype, DType::F16] {
            if !B::supports_dtype(&B::Device::default(), cache_type) {
                continue;
            }
            let case = format!("{dtype:?} {cache_type:?}");
            let shape = |heads, length| [batch, heads, length, width];
            let numbers_of = |shape: [usize; 4], seed| numbers(shape.iter().product(), seed);
            let (rows, cache) = (shape(kv_heads, length), shape(kv_heads, capacity));
            let query = tensor::<B, 4>(
                &numbers_of(shape(heads, length), 1),
                shape(heads, length),
                dtype,
            );
            let key = tensor::<B, 4>(&numbers_of(rows, 2), rows, dtype);
            let value = tensor::<B, 4>(&numbers_of(rows, 3), rows, dtype);
            let [cos, sin] = [4, 5].map(|seed| {
                tensor::<B, 4>(&numbers(length * half, seed), [1, 1, length, half], dtype)
            });
            // The rotation alone has a test of its own.
            let [expected_query, expected_key] =
                rotate([&query, &key], [&cos, &sin]).expect("a kernel");
            let numbers = |x: Tensor<B, 4>| x.into_data().iter::<f64>().collect::<Vec<_>>();
            let expected = |cached: &[f64], rows: Vec<f64>| {
                let mut cached = cached.to_vec();
                for (index, row) in rows.chunks_exact(width).enumerate() {
                    let place = index / length * capacity + first + index % length;
                    cached[place * width..][..width].copy_from_slice(row);
                }
                cached
            };
            let before = [6, 7].map(|seed| numbers_of(cache, seed));
            let expected_keys = expected(&before[0], numbers(expected_key));
            let expected_values = expected(&before[1], numbers(value.clone()));
            for (held, bindings) in [(true, u32::MAX), (false, u32::MAX), (true, 5), (false, 5)] {
                let cached = [0, 1].map(|i| tensor::<B, 4>(&before[i], cache, cache_type));
                let holder = held.then(|| cached.clone());
                let appending = Appending {
                    projected: [query.clone(), key.clone(), value.clone()],
                    cached,
                };
                let append = RotaryAppend {
                    bindings,
                    ..RotaryAppend::new(first)
                };
                let appended = rotate_and_append(appending, [&cos, &sin], append);
                let [query, keys, values] = appended.expect("a kernel");
                assert_near(&case, query, &numbers(expected_query.clone()), 0.0);
                assert_near(&case, keys, &expected_keys, allowed(cache_type));
                assert_near(&case, values, &expected_values, allowed(cache_type));
                for (holder, before) in holder.into_iter().flatten().zip(&before) {
                    assert_near(&case, holder, before, 0.0);
                }
            }
        }
    });
}

/// One value, and numbers of them that are and are not whole vectors.
fn gated_activations_are_their_definition<B: Backend>() {
    for shape in [[1, 1], [3, 7], [5, 256], [2, 1000]] {
        each_type::<B>(|dtype| {
            let count = shape[0] * shape[1];
            let (gate, up) = (numbers(count, 1), numbers(count, 2));
            let found = swiglu(
                &tensor::<B, 2>(&gate, shape, dtype),
                &tensor(&up, shape, dtype),
            );
            let expected = gate.iter().zip(&up);
            let expected = expected.map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up);
            let expected: Vec<f64> = expected.collect();
            let case = format!("{shape:?} {dtype:?}");
            assert_near(&case, found.expect("a kernel"), &expected, allowed(dtype));
        });
    }
}

/// `x · weight + bias`, weight `[inputs, outputs]`.
fn product(x: &[f64], weight: &[f64], bias: Option<&[f64]>, inputs: usize) -> Vec<f64> {
    let outputs = weight.len() / inputs;
    let rows = x.chunks_exact(inputs).flat_map(|x| {
        (0..outputs).map(move |output| {
            let weights = weight[output..].iter().step_by(outputs);
            let sum: f64 = x.iter().zip(weights).map(|(x, w)| x * w).sum();
            sum + bias.map_or(0.0, |bias| bias[output])
        })
    });
    rows.collect()
}

/// Odd numbers of inputs and outputs, one row and several, weights in the order of files and in
/// burn's, in the type of the rows and in half precision, with and without biases.
fn products_are_their_definition<B: Backend>() {
    for (rows, inputs, outputs) in [
        (1, 7, [3, 1, 2]),
        (3, 64, [33, 5, 5]),
        (8, 1032, [6, 130, 9]),
    ] {
        each_type::<B>(|dtype| {
            for (biased, stored, weight_type) in [
                (false, true, dtype),
                (true, true, dtype),
                (true, false, dtype),
                (false, true, DType::F16),
            ] {
                if !B::supports_dtype(&B::Device::default(), weight_type) {
                    continue;
                }
                let case = format!("{rows}x{inputs} {dtype:?} {weight_type:?} {biased} {stored}");
                // Small weights, so that gates are neither 0 nor their input.
                let small = |count, seed| -> Vec<f64> {
                    let numbers = numbers(count, seed);
                    numbers.iter().map(|x| x / 32.0).collect()
                };
                let x = numbers(rows * inputs, 1);
                let given: Vec<_> = outputs
                    .into_iter()
                    .enumerate()
                    .map(|(i, outputs)| {
                        let weight = small(inputs * outputs, 2 + i as u64);
                        (weight, biased.then(|| numbers(outputs, 7 + i as u64)))
                    })
                    .collect();
                let dense = |(weight, bias): &(Vec<f64>, Option<Vec<f64>>)| {
                    let outputs = weight.len() / inputs;
                    let tensor_of = tensor::<B, 2>(weight, [inputs, outputs], weight_type);
                    DenseProduct {
                        weight: match stored {
                            true => crate::as_stored(tensor_of),
                            false => tensor_of,
                        },
                        bias: bias.as_ref().map(|bias| tensor(bias, [outputs], dtype)),
                    }
                };
                let rows_of = tensor::<B, 2>(&x, [rows, inputs], dtype);
                let of = |(weight, bias): &(Vec<f64>, Option<Vec<f64>>)| {
                    product(&x, weight, bias.as_deref(), inputs)
                };
                let found = one_product(&rows_of, dense(&given[1])).expect("a kernel");
                assert_near(&case, found, &of(&given[1]), allowed(dtype));
                let three = [0, 1, 2].map(|index| dense(&given[index]));
                let found = three_products(&rows_of, &three).expect("a kernel");
                for (found, given) in found.into_iter().zip(&given) {
                    assert_near(&case, found, &of(given), allowed(dtype));
                }
                let up = (small(given[0].0.len(), 12), given[0].1.clone());
                let two = [dense(&given[0]), dense(&up)];
                let found = gated_product(&rows_of, &two).expect("a kernel");
                let (gates, ups) = (of(&given[0]), of(&up));
                let expected: Vec<f64> = gates
                    .iter()
                    .zip(&ups)
                    .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                    .collect();
                assert_near(&case, found, &expected, allowed(dtype));
            }
        });
    }
}

/// Products of rows that fusion computes just before, with fewer outputs than values in a vector
/// and more, of one weight, of three, and gated.
fn products_of_fused_rows_are_their_definition<B: Backend>() {
    let inputs = 256;
    each_type::<B>(|dtype| {
        for (rows, outputs) in [1, 2, 3, 4, 5, 6, 8, 16]
            .into_iter()
            .flat_map(|outputs| [(1, outputs), (2, outputs)])
        {
            let case = format!("{rows}x{inputs}x{outputs} {dtype:?}");
            let x = numbers(rows * inputs, 1);
            let given = numbers(inputs * outputs, 2);
            let given: Vec<f64> = given.iter().map(|x| x / 32.0).collect();
            let clipped: Vec<f64> = x.iter().map(|x| x.max(0.0)).collect();
            let expected = product(&clipped, &given, None, inputs);
            let x = tensor::<B, 2>(&x, [rows, inputs], dtype);
            let weight = crate::as_stored(tensor::<B, 2>(&given, [inputs, outputs], dtype));
            // Nothing but the activation is left to be computed.
            B::sync(&B::Device::default()).expect("a device");
            let dense = || DenseProduct {
                weight: weight.clone(),
                bias: None,
            };
            let relu = || burn::tensor::activation::relu(x.clone());
            let found = one_product(&relu(), dense()).expect("a kernel");
            assert_near(&case, found, &expected, allowed(dtype));
            let found = three_products(&relu(), &[dense(), dense(), dense()]);
            for found in found.expect("a kernel") {
                assert_near(&case, found, &expected, allowed(dtype));
            }
            let found = gated_product(&relu(), &[dense(), dense()]).expect("a kernel");
            let gated = expected.iter().map(|x| x / (1.0 + (-x).exp()) * x);
            assert_near(&case, found, &gated.collect::<Vec<_>>(), allowed(dtype));
        }
    });
}

macro_rules! backend {
    ($name:ident, $backend:ty) => {
        mod $name {
            type B = $backend;

            #[test]
            fn norms_are_their_definition() {
                super::norms_are_their_definition::<B>();
            }

            #[test]
            fn rotations_are_their_definition() {
                super::rotations_are_their_definition::<B>();
            }

            #[test]
            fn rotations_are_appended() {
                super::rotations_are_appended::<B>();
            }

            #[test]
            fn gated_activations_are_their_definition() {
                super::gated_activations_are_their_definition::<B>();
            }

            #[test]
            fn products_are_their_definition() {
                super::products_are_their_definition::<B>();
            }

            #[test]
            fn products_of_fused_rows_are_their_definition() {
                super::products_of_fused_rows_are_their_definition::<B>();
            }

            #[test]
            fn placed_norms_are_their_definition() {
                super::placed_norms::placed_norms_are_their_definition::<B>();
            }

            #[test]
            fn products_of_short_columns_are_their_definition() {
                super::short_products::products_of_short_columns_are_their_definition::<B>();
            }

            #[test]
            fn clipped_products_are_their_definition() {
                super::short_products::clipped_products_are_their_definition::<B>();
            }

            #[test]
            fn pixels_are_put_in_the_order_of_a_picture() {
                super::short_products::pixels_are_put_in_the_order_of_a_picture::<B>();
            }

            #[test]
            fn products_of_prepared_rows_are_their_definition() {
                super::row_products::products_of_prepared_rows_are_their_definition::<B>();
            }

            #[test]
            fn products_of_single_rows_of_groups_are_joined() {
                super::row_products::products_of_single_rows_of_groups_are_joined::<B>();
            }

            #[test]
            fn doubled_rows_are_their_definition() {
                super::row_products::doubled_rows_are_their_definition::<B>();
            }

            #[test]
            fn rows_are_joined() {
                super::joined::rows_are_joined::<B>();
            }

            #[test]
            fn cells_of_maps_are_added() {
                super::joined::cells_of_maps_are_added::<B>();
            }

            #[test]
            fn grids_are_encoded_by_sinusoids() {
                super::joined::grids_are_encoded_by_sinusoids::<B>();
            }

            #[test]
            fn attention_of_views_is_its_definition() {
                super::views::attention_of_views_is_its_definition::<B>();
            }

            #[test]
            fn few_queries_attend_as_defined() {
                super::attention::few_queries_attend_as_defined::<B>();
            }

            #[test]
            fn many_queries_attend_as_defined() {
                super::attention::many_queries_attend_as_defined::<B>();
            }

            #[test]
            fn larger_scores_follow() {
                super::attention::larger_scores_follow::<B>();
            }

            #[test]
            fn relative_positions_are_added() {
                super::attention::relative_positions_are_added::<B>();
            }

            #[test]
            fn views_are_read_as_they_lie() {
                super::attention::views_are_read_as_they_lie::<B>();
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
