//! Compares each form with the dense product and the portable form.

use super::super::instruction_set::InstructionSet;
use super::*;
use crate::blocks::random::{random_blocks, random_bytes};
use crate::blocks::{BlockType, Blocks};

/// `x · weight + bias` on an instruction set.
fn product_by(
    x: &[f32],
    weight: &Panels,
    bias: Option<&[f32]>,
    instructions: InstructionSet,
) -> Vec<f32> {
    products(x, &[(weight, bias)], instructions).remove(0)
}

fn product(x: &[f32], weight: &Panels, bias: Option<&[f32]>) -> Vec<f32> {
    product_by(x, weight, bias, InstructionSet::current())
}

fn packed(blocks: &Blocks<'_>) -> Panels {
    let Ok(panels) = Panels::new(blocks);
    panels
}

fn inputs(rows: usize, depth: usize) -> Vec<f32> {
    let values = random_bytes(rows * depth, 5);
    values
        .iter()
        .map(|&x| (f32::from(x) - 127.0) * 0.013)
        .collect()
}

/// Sets that this machine has.
fn instruction_sets() -> impl Iterator<Item = InstructionSet> {
    use InstructionSet::*;
    let all = [Portable, Avx2, AvxVnni, Avx512, Avx512Vnni, Avx512Bf16];
    all.into_iter()
        .filter(|&set| set <= InstructionSet::current() && set.is_of_machine())
}

#[test]
fn panels_hold_every_value() {
    for block_type in BlockType::ALL {
        let blocks = random_blocks(block_type, [35, 512], 3);
        let panels = packed(&blocks);
        let expected = blocks.dequantize();
        let mut found = vec![0.0; 512];
        for (row, expected) in expected.chunks_exact(512).enumerate() {
            panels.dequantize_row(row, &mut found);
            match block_type {
                // Converted to Q8_0.
                BlockType::Q5_1 | BlockType::Q5K => {
                    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                    for (found, expected) in found.iter().zip(expected) {
                        assert!((found - expected).abs() <= largest / 220.0);
                    }
                }
                _ => assert_eq!(found, expected, "{block_type} row {row}"),
            }
        }
        let bytes = blocks.bytes().len() * 48 / 35;
        match block_type {
            BlockType::Q5_0 | BlockType::Q5_1 | BlockType::Q5K => {}
            _ => assert!(panels.memory() <= bytes * 103 / 100 + 128, "{block_type}"),
        }
    }
}

/// Every form equals the product of the dense weight up to the rounding of the rows to eight bits,
/// and every other form up to the rounding of its sums.
#[test]
fn forms_multiply_as_the_dense_weight_does() {
    for block_type in BlockType::ALL {
        for (rows, width, depth) in [
            (1, 16, 256),
            (1, 130, 512),
            (2, 7, 256),
            (3, 33, 256),
            (16, 40, 512),
            (23, 50, 256),
            (47, 17, 768),
        ] {
            let panels = packed(&random_blocks(block_type, [width, depth], 11));
            let mut weight = vec![0.0; width * depth];
            for (row, values) in weight.chunks_exact_mut(depth).enumerate() {
                panels.dequantize_row(row, values);
            }
            let x = inputs(rows, depth);
            let bias: Vec<f32> = (0..width).map(|i| i as f32 * 0.1).collect();
            let portable = product_by(&x, &panels, Some(&bias), InstructionSet::Portable);
            for set in instruction_sets() {
                let found = product_by(&x, &panels, Some(&bias), set);
                for (row, found) in found.chunks_exact(width).enumerate() {
                    let x = &x[row * depth..][..depth];
                    for (output, &found) in found.iter().enumerate() {
                        let weight = &weight[output * depth..][..depth];
                        let products = || x.iter().zip(weight).map(|(&x, &w)| x * w);
                        let expected: f64 = products().map(f64::from).sum();
                        let expected = expected + f64::from(bias[output]);
                        // Each input is off by at most half a step, 1/254 of the largest magnitude,
                        // plus the rounding of its scale to half precision.
                        let groups = x.chunks_exact(32).zip(weight.chunks_exact(32));
                        let bound = groups.map(|(x, weight)| {
                            let largest = x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                            let sizes = weight.iter().map(|w| w.abs()).sum::<f32>();
                            (largest / 254.0 + largest / 2048.0) * sizes
                        });
                        let sizes: f32 = products().map(f32::abs).sum();
                        let bound = bound.sum::<f32>() + 1e-5 * sizes + 1e-5;
                        let error = (f64::from(found) - expected).abs() as f32;
                        let case = format!("{block_type} {rows}x{depth}x{width} {set:?}");
                        assert!(error <= bound, "{case}: {error} > {bound}");
                        let other = portable[row * width + output];
                        let apart = (found - other).abs();
                        assert!(apart <= 1e-5 * sizes + 1e-5, "{case}: {found} {other}");
                    }
                }
            }
        }
    }
}

/// Uses integers that would overflow a sixteen-bit product.
#[test]
fn largest_values_do_not_overflow() {
    for (block_type, value, largest) in [
        (BlockType::Q8_0, 0x80u8, -128.0f32),
        (BlockType::Q8_0, 0x7f, 127.0),
        (BlockType::Q4_0, 0xff, 7.0),
        (BlockType::Q4_1, 0xff, 15.0),
        (BlockType::Q6K, 0xff, 31.0),
    ] {
        let mut block = vec![value; block_type.bytes()];
        let one = [0x00, 0x3c];
        match block_type {
            BlockType::Q6K => {
                block[192..208].fill(1);
                block[208..].copy_from_slice(&one);
            }
            BlockType::Q4_1 => block[..4].copy_from_slice(&[0x00, 0x3c, 0, 0]),
            _ => block[..2].copy_from_slice(&one),
        }
        let depth = block_type.values();
        let panels = packed(&Blocks::new(block_type, [1, depth], block).unwrap());
        // Steps of 1 are exact in half precision.
        for x in [127.0, -127.0] {
            for set in instruction_sets() {
                let found = product_by(&vec![x; depth], &panels, None, set)[0];
                let expected = x * largest * depth as f32;
                assert!(
                    (found - expected).abs() <= 1e-5 * expected.abs(),
                    "{set:?} {found}"
                );
            }
        }
    }
}

#[test]
fn rows_that_are_no_numbers_stay_so() {
    let panels = packed(&random_blocks(BlockType::Q4_0, [3, 64], 1));
    let mut x = inputs(2, 64);
    x[70] = f32::NAN;
    let found = product(&x, &panels, None);
    assert!(found[..3].iter().all(|x| x.is_finite()));
    assert!(found[3..].iter().all(|x| x.is_nan()));
    assert!(product(&[], &panels, None).is_empty());
}

/// Times a product: `cargo test --release -p anyref-ops blocks::tests::bench -- --ignored
/// --nocapture`.
#[test]
#[ignore = "measures"]
fn bench() {
    use std::time::Instant;
    for block_type in [
        BlockType::Q8_0,
        BlockType::Q4_0,
        BlockType::Q4_1,
        BlockType::Q4K,
        BlockType::Q6K,
    ] {
        for (rows, width, depth) in [
            (1, 1536, 768),
            (1, 4096, 4096),
            (32, 4096, 4096),
            (400, 1536, 768),
        ] {
            let panels = packed(&random_blocks(block_type, [width, depth], 11));
            let x = inputs(rows, depth);
            let mut times: Vec<f64> = (0..20)
                .map(|_| {
                    let start = Instant::now();
                    let repeat = (2_000_000 / (width * depth * rows)).max(1);
                    for _ in 0..repeat {
                        std::hint::black_box(product(&x, &panels, None));
                    }
                    start.elapsed().as_secs_f64() / repeat as f64
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let time = times[times.len() / 4];
            println!(
                "{block_type} {rows}x{depth}x{width}: {:.3} ms, {:.1} GB/s, {:.0} GMAC/s",
                time * 1e3,
                panels.memory() as f64 / time * 1e-9,
                (rows * width * depth) as f64 / time * 1e-9
            );
        }
    }
}
