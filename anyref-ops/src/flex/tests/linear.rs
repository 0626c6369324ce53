#[cfg(target_arch = "x86_64")]
use super::super::instruction_set::InstructionSet;
use super::super::{Activation, LinearInput};
use super::{TestAutodiff, TestBackend, TestBalanced, difference, random};
use crate::linear;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, Tensor};
use burn_flex::Flex;

/// Ragged sizes around every block: rows for all forms, whole and partial vectors of inputs and
/// outputs, tiles and slabs.
const SIZES: [[usize; 3]; 16] = [
    [1, 1, 1],
    [1, 64, 8],
    [1, 1000, 131],
    [3, 17, 5],
    [4, 300, 66],
    [16, 257, 33],
    [17, 256, 32],
    [29, 513, 130],
    [100, 48, 7],
    [2, 4096, 300],
    [500, 70, 260],
    [970, 33, 40],
    [300, 513, 130],
    [490, 300, 41],
    [300, 200, 48],
    [500, 256, 256],
];

/// Memory orders of a weight: PyTorch's layout, burn's, and a part of either.
const ORDERS: [&str; 4] = ["inputs", "outputs", "part of inputs", "part of outputs"];

/// `weight` in another order, and in half precision.
fn weight(values: &Tensor<TestBackend, 2>, order: &str, dtype: DType) -> Tensor<TestBackend, 2> {
    let [inputs, outputs] = values.dims();
    let half = values.clone().cast(dtype);
    let lines = |x: Tensor<TestBackend, 2>| {
        Tensor::<TestBackend, 2>::from_data(x.into_data(), (&Default::default(), dtype))
    };
    match order {
        "inputs" => lines(half.transpose()).transpose(),
        "outputs" => lines(half),
        "part of inputs" => {
            let twice = Tensor::cat(vec![half.clone(), half], 1).transpose();
            lines(twice).transpose().narrow(1, outputs, outputs)
        }
        _ => lines(Tensor::cat(vec![half.clone(), half], 0)).narrow(0, inputs, inputs),
    }
}

/// `x · weight + bias` in f64.
fn exact(
    x: &Tensor<TestBackend, 2>,
    weight: &Tensor<TestBackend, 2>,
    bias: &Tensor<TestBackend, 1>,
) -> Tensor<TestBackend, 2> {
    let [rows, inputs] = x.dims();
    let [_, outputs] = weight.dims();
    let wide = |data: burn::tensor::TensorData| data.iter::<f64>().collect::<Vec<_>>();
    let (x, w) = (wide(x.to_data()), wide(weight.to_data()));
    let bias = wide(bias.to_data());
    let mut out = Vec::with_capacity(rows * outputs);
    for row in x.chunks_exact(inputs) {
        let mut sums = bias.clone();
        for (&x, weights) in row.iter().zip(w.chunks_exact(outputs)) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
        out.extend(sums.into_iter().map(|sum| sum as f32));
    }
    let data = burn::tensor::TensorData::new(out, [rows, outputs]);
    Tensor::from_data(data, &Default::default())
}

fn is_fused(weight: &Tensor<TestBackend, 2>) -> bool {
    super::super::linear(LinearInput {
        x: random([2, weight.dims()[0]], 1),
        weight: weight.clone(),
        bias: None,
        activation: None,
    })
    .is_ok()
}

/// Activations of a product are those of its output, bit for bit, with a bias and without.
#[test]
fn activations_are_those_of_the_output() {
    for [rows, inputs, outputs] in SIZES {
        let (x, w) = (random([rows, inputs], 1), random([inputs, outputs], 2));
        for bias in [None, Some(random([outputs], 3))] {
            for dtype in [DType::F16, DType::BF16, DType::F32] {
                // The order of inputs too, in which weights are mapped.
                let mapped: Tensor<TestBackend, 1> = w.clone().transpose().flatten(0, 1);
                let mapped = mapped.reshape([outputs, inputs]).transpose();
                for w in [w.clone(), mapped] {
                    let w = w.cast(dtype);
                    let y = linear(x.clone(), w.clone(), bias.clone());
                    for (activation, expected) in [
                        (Activation::Gelu, crate::gelu(y.clone())),
                        (Activation::QuickGelu, crate::quick_gelu(y.clone())),
                    ] {
                        let found = crate::linear::activated(
                            x.clone(),
                            w.clone(),
                            bias.clone(),
                            activation,
                        );
                        let difference = (found.unwrap() - expected).abs().max().into_scalar();
                        assert_eq!(difference, 0.0, "{rows}x{inputs}x{outputs} {dtype:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn weights_of_every_type_give_their_own_product() {
    for [rows, inputs, outputs] in SIZES {
        let (x, w) = (random([rows, inputs], 1), random([inputs, outputs], 2));
        let bias = random([outputs], 3);
        for dtype in [DType::F16, DType::BF16, DType::F32] {
            let expected = exact(&x, &w.clone().cast(dtype), &bias);
            let rounded = exact(&x.clone().cast(dtype), &w.clone().cast(dtype), &bias);
            for order in ORDERS {
                let weight = weight(&w, order, dtype);
                assert!(is_fused(&weight));
                let found = linear(x.clone(), weight, Some(bias.clone()));
                assert_eq!(found.dtype(), DType::F32);
                let mut error = difference(found.clone(), expected.clone());
                // Error against unrounded inputs, or against all inputs as bf16.
                if dtype == DType::BF16 {
                    error = error.min(difference(found, rounded.clone()));
                }
                // Rounding adds up over the inputs, while a sum grows by about the root of their
                // number.
                let allowed = 2.0 * f32::EPSILON * inputs as f32 + 1e-6;
                assert!(
                    error < allowed,
                    "{rows}x{inputs}x{outputs} {order} {dtype:?}: {error} > {allowed}"
                );
            }
        }
    }
}

/// Rounds many rows to bf16 on processors with bf16 instructions, except in training.
#[test]
#[cfg(target_arch = "x86_64")]
fn many_rows_are_rounded_for_answers_alone() {
    let (x, w) = (random([600, 301], 1), random([301, 70], 2));
    let w = w.cast(DType::BF16);
    let answer = linear(x.clone(), w.clone(), None);
    let few = linear(x.clone().narrow(0, 0, 2), w.clone(), None);
    let learning = linear(
        Tensor::<TestAutodiff, 2>::from_inner(x.clone()),
        Tensor::from_inner(w.clone()),
        None,
    );
    let none = Tensor::zeros([70], &Default::default());
    let exactly = exact(&x, &w, &none);
    let rounded = exact(&x.cast(DType::BF16), &w, &none);
    assert!(difference(few, exactly.clone().narrow(0, 0, 2)) < 1e-4);
    assert!(difference(learning.inner(), exactly.clone()) < 1e-4);
    assert!(difference(rounded.clone(), exactly.clone()) > 1e-2);
    let expected = match InstructionSet::current() == InstructionSet::Avx512Bf16 {
        true => rounded,
        false => exactly,
    };
    assert!(difference(answer, expected) < 1e-4);
}

#[test]
fn rows_of_more_dimensions_and_rows_apart() {
    let x = random([2, 5, 3, 40], 1);
    let weight = random([40, 24], 2).cast(DType::BF16);
    let found = linear(x.clone().swap_dims(0, 2), weight.clone(), None);
    assert_eq!(found.dims(), [3, 5, 2, 24]);
    let rows = linear(x.reshape([30, 40]), weight, None).reshape([2, 5, 3, 24]);
    assert!(difference(found.swap_dims(0, 2), rows) < 1e-5);
}

/// NaN and infinities reach the columns they belong to and no others.
#[test]
fn special_values_stay_in_their_columns() {
    let mut weight = vec![burn::tensor::f16::from_f32(1.0); 20 * 3];
    weight[3 * 7 + 1] = burn::tensor::f16::INFINITY;
    weight[3 * 7 + 2] = burn::tensor::f16::NAN;
    let weight = burn::tensor::TensorData::new(weight, [20, 3]);
    let weight = Tensor::<TestBackend, 2>::from_data(weight, (&Default::default(), DType::F16));
    for rows in [1, 30] {
        let x = Tensor::<TestBackend, 2>::ones([rows, 20], &Default::default());
        let y = linear(x, weight.clone(), None);
        for row in super::values(y).chunks_exact(3) {
            assert!(row[0] == 20.0 && row[1] == f32::INFINITY && row[2].is_nan());
        }
    }
}

fn check_gradients<B: AutodiffBackend<InnerBackend = Flex>>(
    size: [usize; 3],
    order: &str,
    dtype: DType,
) {
    let [rows, inputs, outputs] = size;
    let (x, bias) = (random([rows, inputs], 1), random([outputs], 3));
    let stored = weight(&random([inputs, outputs], 2), order, dtype);
    let along = random([rows, outputs], 4);
    let run = |weight: Tensor<B, 2>| {
        let x = Tensor::<B, 2>::from_inner(x.clone()).require_grad();
        let bias = Tensor::<B, 1>::from_inner(bias.clone()).require_grad();
        let y = linear(x.clone(), weight, Some(bias.clone()));
        let grads = (y.clone() * Tensor::from_inner(along.clone()))
            .sum()
            .backward();
        let bias = bias.grad(&grads).unwrap().reshape([1, outputs]);
        [y.inner(), x.grad(&grads).unwrap(), bias]
    };
    // burn multiplies f32 in its own layout.
    let wide = Tensor::from_data(
        stored.clone().cast(DType::F32).into_data(),
        &Default::default(),
    );
    let fused = run(Tensor::from_inner(stored));
    let wide = run(wide);
    for (part, (fused, wide)) in fused.into_iter().zip(wide).enumerate() {
        let size = 1.0 + wide.clone().abs().max().into_scalar();
        let error = difference(fused, wide);
        assert!(
            error < 1e-5 * size,
            "{rows}x{inputs}x{outputs} {order} part {part}: {error}"
        );
    }
}

#[test]
fn gradients_of_inputs_and_biases_are_those_of_the_widened_weight() {
    for size in [[1, 50, 30], [5, 300, 20], [40, 33, 270], [300, 60, 500]] {
        for order in ORDERS {
            for dtype in [DType::BF16, DType::F32] {
                check_gradients::<TestAutodiff>(size, order, dtype);
                check_gradients::<TestBalanced>(size, order, dtype);
            }
        }
    }
}

/// A trainable half weight gets burn's own gradient.
#[test]
fn a_tracked_weight_is_composed() {
    let x = Tensor::<TestAutodiff, 2>::from_inner(random([3, 8], 1));
    let half = random([8, 4], 2).cast(DType::F16);
    let weight = Tensor::<TestAutodiff, 2>::from_inner(half).require_grad();
    let grads = linear(x.clone(), weight.clone(), None).sum().backward();
    let found = weight.grad(&grads).unwrap().cast(DType::F32);
    let expected = x.inner().sum_dim(0).transpose().expand([8, 4]);
    assert!(difference(found, expected) < 2e-3);
}
