//! Compares each form with the portable one, bit for bit, and with products of f64.

use std::borrow::Cow;

use super::super::instruction_set::InstructionSet;
use super::*;
use crate::blocks::BlockType;
use crate::blocks::random::random_bytes;

/// Values between -1.65 and 1.65.
fn drawn(count: usize, seed: u64) -> Vec<f32> {
    let bytes = random_bytes(count, seed);
    let of = |&byte: &u8| (f32::from(byte) - 127.0) * 0.013;
    bytes.iter().map(of).collect()
}

fn packed(weight: &[f32], [width, depth]: [usize; 2]) -> Int8Matrix {
    let fetch = |rows: Range<usize>| {
        let rows = &weight[rows.start * depth..rows.end * depth];
        Ok::<_, std::convert::Infallible>(Cow::Borrowed(rows))
    };
    let Ok(matrix) = Int8Matrix::read([width, depth], fetch);
    matrix
}

/// `activation(x · weight + bias)` on an instruction set.
fn product_by(
    x: &[f32],
    weight: &Int8Matrix,
    bias: Option<&[f32]>,
    activation: Option<Activation>,
    instructions: InstructionSet,
) -> Vec<f32> {
    let factor = Factor {
        weight,
        bias: padded(bias, weight.width),
        activation,
    };
    products(x, weight.depth, &[factor], instructions).remove(0)
}

fn product(x: &[f32], weight: &Int8Matrix) -> Vec<f32> {
    product_by(x, weight, None, None, InstructionSet::current())
}

/// Sets that this machine has.
fn instruction_sets() -> impl Iterator<Item = InstructionSet> {
    use InstructionSet::*;
    let all = [Portable, Avx2, AvxVnni, Avx512, Avx512Vnni, Avx512Bf16];
    all.into_iter()
        .filter(|&set| set <= InstructionSet::current() && set.is_of_machine())
}

/// Rows, outputs and inputs, each also of less than a tile, a panel and a word.
const SIZES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [1, 32, 64],
    [2, 7, 5],
    [3, 33, 61],
    [11, 40, 63],
    [12, 64, 64],
    [13, 65, 127],
    [25, 31, 128],
    [40, 100, 257],
    [257, 96, 1024],
];

/// Every form has the portable form's integers, and so its output bit for bit; the output equals
/// the product of the given values but for half a step of each.
#[test]
fn forms_multiply_as_floats_do() {
    for [rows, width, depth] in SIZES {
        let (x, weight) = (drawn(rows * depth, 5), drawn(width * depth, 11));
        let bias: Vec<f32> = (0..width).map(|i| i as f32 * 0.1 - 2.0).collect();
        let matrix = packed(&weight, [width, depth]);
        let portable = product_by(&x, &matrix, Some(&bias), None, InstructionSet::Portable);
        for set in instruction_sets() {
            let found = product_by(&x, &matrix, Some(&bias), None, set);
            assert_eq!(found, portable, "{rows}x{depth}x{width} {set:?}");
        }
        let largest = |of: &[f32]| of.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        for (row, found) in portable.chunks_exact(width).enumerate() {
            let x = &x[row * depth..][..depth];
            for (output, &found) in found.iter().enumerate() {
                let weight = &weight[output * depth..][..depth];
                let products = x.iter().zip(weight);
                let products = products.map(|(&x, &w)| f64::from(x) * f64::from(w));
                let expected = products.sum::<f64>() + f64::from(bias[output]);
                // Half steps of 1/127 of the largest; that of weights is rounded up to f16.
                let steps = [largest(x) / 253.0, largest(weight) / 253.0];
                let sum = |of: &[f32]| of.iter().map(|x| x.abs()).sum::<f32>();
                let bound = steps[0] * sum(weight) + steps[1] * sum(x);
                let bound = bound + depth as f32 * steps[0] * steps[1] + 1e-4;
                let error = (f64::from(found) - expected).abs() as f32;
                assert!(error <= bound, "{rows}x{depth}x{width}: {error} > {bound}");
            }
        }
    }
}

#[test]
fn integers_are_exact() {
    let (rows, width, depth) = (14, 35, 4096 + 3);
    // Largest products of all signs, beyond what sixteen bits hold in pairs.
    let signs = random_bytes(rows.max(width) * depth, 3);
    let of = |i: usize| if signs[i] & 1 == 0 { 127.0f32 } else { -127.0 };
    for same in [false, true] {
        let draw = |count: usize| -> Vec<f32> {
            let value = |i: usize| if same { -127.0 } else { of(i) };
            (0..count).map(value).collect()
        };
        let (x, weight) = (draw(rows * depth), draw(width * depth));
        let matrix = packed(&weight, [width, depth]);
        for set in instruction_sets() {
            let found = product_by(&x, &matrix, None, None, set);
            for (row, found) in found.chunks_exact(width).enumerate() {
                let x = &x[row * depth..][..depth];
                for (weight, &found) in weight.chunks_exact(depth).zip(found) {
                    let products = x.iter().zip(weight).map(|(&x, &w)| x as i64 * w as i64);
                    // Scales are 1.
                    assert_eq!(found, products.sum::<i64>() as f32, "{set:?}");
                }
            }
        }
    }
}

#[test]
fn activations_are_those_of_the_product() {
    let (rows, width, depth) = (29, 70, 96);
    let x = drawn(rows * depth, 5);
    let matrix = packed(&drawn(width * depth, 11), [width, depth]);
    for set in instruction_sets() {
        let mut expected = product_by(&x, &matrix, None, None, set);
        for (activation, of) in [(Activation::QuickGelu, 1.702f64), (Activation::Silu, 1.0)] {
            let found = product_by(&x, &matrix, None, Some(activation), set);
            for (&found, &x) in found.iter().zip(&expected) {
                let x = f64::from(x);
                let expected = x / (1.0 + (-of * x).exp());
                assert!((f64::from(found) - expected).abs() < 1e-5 * (1.0 + x.abs()));
            }
        }
        let found = product_by(&x, &matrix, None, Some(Activation::Gelu), set);
        struct InPlace<'a>(&'a mut [f32]);
        impl Kernel for InPlace<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self) {
                activate::<S>(Activation::Gelu, self.0);
            }
        }
        dispatch(InPlace(&mut expected));
        assert_eq!(found, expected);
    }
}

#[test]
fn rows_and_outputs_of_zeros_stay_so() {
    let (rows, width, depth) = (13, 34, 70);
    let (mut x, mut weight) = (drawn(rows * depth, 5), drawn(width * depth, 11));
    x[3 * depth..4 * depth].fill(0.0);
    weight[33 * depth..].fill(0.0);
    let matrix = packed(&weight, [width, depth]);
    let bias: Vec<f32> = (0..width).map(|i| i as f32).collect();
    for set in instruction_sets() {
        let found = product_by(&x, &matrix, Some(&bias), None, set);
        assert_eq!(found[3 * width..4 * width], bias);
        assert!(found.chunks_exact(width).all(|row| row[33] == 33.0));
    }
    assert!(product(&[], &matrix).is_empty());
    assert!(product(&x, &packed(&[], [0, depth])).is_empty());
}

#[test]
fn rows_that_are_no_numbers_stay_so() {
    let (width, depth) = (33, 64);
    let matrix = packed(&drawn(width * depth, 1), [width, depth]);
    let mut x = drawn(3 * depth, 5);
    x[depth + 6] = f32::NAN;
    x[2 * depth + 6] = f32::INFINITY;
    for set in instruction_sets() {
        let found = product_by(&x, &matrix, None, None, set);
        assert!(found[..width].iter().all(|x| x.is_finite()));
        assert!(found[width..2 * width].iter().all(|x| x.is_nan()));
        assert!(found[2 * width..].iter().all(|x| !x.is_finite()));
    }
    // An output whose weights are no numbers, too.
    let mut weight = drawn(width * depth, 1);
    weight[depth] = f32::NAN;
    let found = product(&x[..depth], &packed(&weight, [width, depth]));
    assert!(found[1].is_nan());
    assert!(found[2..].iter().all(|x| x.is_finite()));
}

/// Values whose squares, or whose reciprocals, f32 cannot hold.
#[test]
fn huge_and_tiny_values_keep_their_size() {
    let (width, depth) = (5, 64);
    for (x_size, weight_size) in [(1e30f32, 1e-3f32), (1e-30, 1e3), (1.0, 1e8), (1e-42, 1.0)] {
        let x: Vec<f32> = drawn(depth, 5).iter().map(|x| x * x_size).collect();
        let weight: Vec<f32> = drawn(width * depth, 7)
            .iter()
            .map(|x| x * weight_size)
            .collect();
        let found = product(&x, &packed(&weight, [width, depth]));
        for (weight, found) in weight.chunks_exact(depth).zip(found) {
            let pairs = || {
                x.iter()
                    .zip(weight)
                    .map(|(&x, &w)| f64::from(x) * f64::from(w))
            };
            let (expected, sizes) = (pairs().sum::<f64>(), pairs().map(f64::abs).sum::<f64>());
            assert!(found.is_finite());
            let allowed = if x_size < 1e-38 { 1.0 } else { 0.02 };
            assert!((f64::from(found) - expected).abs() <= allowed * sizes);
        }
    }
}

/// Values are off by half a step at most, and blocks of `Q8_0` have the same values, which stay as
/// they are when they are rounded again.
#[test]
fn blocks_hold_the_values() {
    let (width, depth) = (35, 96);
    let mut weight = drawn(width * depth, 11);
    // Scales that half precision holds with fewer bits.
    weight[..depth].iter_mut().for_each(|x| *x *= 1e-4);
    let matrix = packed(&weight, [width, depth]);
    let mut values = vec![0.0; width * depth];
    for (output, values) in values.chunks_exact_mut(depth).enumerate() {
        matrix.dequantize_row(output, values);
    }
    for ((row, values), scale) in weight
        .chunks_exact(depth)
        .zip(values.chunks_exact(depth))
        .zip(&matrix.scales)
    {
        let largest = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        assert!(*scale <= 1.001 * largest / 127.0 + 1e-7);
        for (value, x) in values.iter().zip(row) {
            assert!((value - x).abs() <= 0.5001 * scale);
        }
    }
    let blocks = matrix.to_blocks();
    assert_eq!(blocks.block_type(), BlockType::Q8_0);
    assert_eq!(blocks.dequantize(), values);
    let again = packed(&values, [width, depth]);
    // Except for the first row, whose largest step is less than 127.
    assert!((1..width).all(|row| again.to_blocks().row(row) == blocks.row(row)));
}

/// Times products of CLIP's sizes: `cargo test --release -p anyref-ops int8::tests::bench --
/// --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn bench() {
    use std::time::Instant;
    for [rows, width, depth] in [
        [257, 1024, 1024],
        [257, 4096, 1024],
        [257, 1024, 4096],
        [687, 3072, 768],
        [4096, 3072, 768],
        [4096, 768, 3072],
    ] {
        let matrix = packed(&drawn(width * depth, 11), [width, depth]);
        let x = drawn(rows * depth, 5);
        let least = |run: &dyn Fn()| {
            let times = (0..15).map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64()
            });
            times.fold(f64::INFINITY, f64::min)
        };
        let time = least(&|| {
            std::hint::black_box(product(&x, &matrix));
        });
        let rounding = least(&|| {
            std::hint::black_box(Rows::round(&x, depth));
        });
        println!(
            "{rows}x{depth}x{width}: {:.3} ms, {:.0} GMAC/s; rounding {:.3} ms",
            time * 1e3,
            (rows * width * depth) as f64 / time * 1e-9,
            rounding * 1e3,
        );
    }
}
