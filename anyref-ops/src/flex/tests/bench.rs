//! Times of the fused and of the composed forms:
//! `cargo test --release -p anyref-weights bench -- --ignored --nocapture --test-threads 1`.

use super::{TestAutodiff, TestBackend, random};
use crate::{
    AttentionInput, RelativePosition, activation, attention, gelu, layer_norm, norm, rms_norm,
    silu, swiglu,
};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use std::time::Instant;

/// Shortest time of a call in milliseconds; other programs only make it longer.
fn time<T>(mut f: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    f();
    let once = start.elapsed().as_secs_f64();
    let runs = ((0.5 / once) as usize).clamp(3, 50);
    let seconds = (0..runs).map(|_| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(once, f64::min) * 1e3
}

/// Operation under measurement.
type Operation<'a, B, const D: usize> = &'a dyn Fn(&[Tensor<B, D>]) -> Tensor<B, D>;

/// Prints forward and forward with backward, fused and composed.
fn report<const D: usize>(
    name: &str,
    inputs: &[Tensor<TestBackend, D>],
    plain: [Operation<'_, TestBackend, D>; 2],
    tracked: [Operation<'_, TestAutodiff, D>; 2],
) {
    let forward = plain.map(|f| time(|| f(inputs)));
    let both = tracked.map(|f| {
        time(|| {
            let leaves: Vec<_> = inputs
                .iter()
                .map(|x| Tensor::<TestAutodiff, D>::from_inner(x.clone()).require_grad())
                .collect();
            let y = f(&leaves);
            // A product with a vector yields a contiguous gradient, as layers do.
            let length = y.shape().num_elements();
            let weight = Tensor::from_inner(y.clone().inner().reshape([length, 1]));
            y.reshape([1, length]).matmul(weight).backward()
        })
    });
    println!(
        "{name:<44} forward {:8.2} ms (composed {:8.2})  with backward {:8.2} ms (composed {:8.2})",
        forward[0], forward[1], both[0], both[1]
    );
}

fn vector<B: Backend, const D: usize>(x: &Tensor<B, D>) -> Tensor<B, 1> {
    let width = x.dims()[D - 1];
    x.clone().flatten::<1>(0, D - 1).narrow(0, 0, width)
}

#[test]
#[ignore = "measures"]
fn bench_rows() {
    let x = random([16, 256, 768], 1);
    report(
        "gelu 16x256x768",
        core::slice::from_ref(&x),
        [&|x| gelu(x[0].clone()), &|x| {
            activation::composed::gelu(x[0].clone())
        }],
        [&|x| gelu(x[0].clone()), &|x| {
            activation::composed::gelu(x[0].clone())
        }],
    );
    report(
        "silu 16x256x768",
        core::slice::from_ref(&x),
        [&|x| silu(x[0].clone()), &|x| {
            activation::composed::silu(x[0].clone())
        }],
        [&|x| silu(x[0].clone()), &|x| {
            activation::composed::silu(x[0].clone())
        }],
    );
    report(
        "swiglu 16x256x768",
        &[x.clone(), x],
        [&|x| swiglu(x[0].clone(), x[1].clone()), &|x| {
            activation::composed::silu(x[0].clone()) * x[1].clone()
        }],
        [&|x| swiglu(x[0].clone(), x[1].clone()), &|x| {
            activation::composed::silu(x[0].clone()) * x[1].clone()
        }],
    );
    let x = random([16, 256, 192], 2);
    report(
        "layer_norm 16x256x192",
        core::slice::from_ref(&x),
        [
            &|x| layer_norm(x[0].clone(), vector(&x[0]), vector(&x[0]), 1e-6),
            &|x| norm::composed::layer_norm(x[0].clone(), vector(&x[0]), vector(&x[0]), 1e-6),
        ],
        [
            &|x| layer_norm(x[0].clone(), vector(&x[0]), vector(&x[0]), 1e-6),
            &|x| norm::composed::layer_norm(x[0].clone(), vector(&x[0]), vector(&x[0]), 1e-6),
        ],
    );
    report(
        "rms_norm 16x256x192",
        &[x],
        [&|x| rms_norm(x[0].clone(), vector(&x[0]), 1e-6), &|x| {
            norm::composed::rms_norm(x[0].clone(), vector(&x[0]), 1e-6)
        }],
        [&|x| rms_norm(x[0].clone(), vector(&x[0]), 1e-6), &|x| {
            norm::composed::rms_norm(x[0].clone(), vector(&x[0]), 1e-6)
        }],
    );
}

#[test]
#[ignore = "measures"]
fn bench_product() {
    use super::super::product::{Matrix, Product, packed_len, padded, product};
    for (rows, depth, width) in [(192, 80, 256), (192, 256, 80), (256, 48, 256), (49, 48, 49)] {
        let stride = padded(width.max(depth)) + 16;
        let a = vec![1.0; rows.max(depth) * stride];
        let b = vec![1.0; packed_len(depth, width)];
        let mut c = vec![0.0; rows * stride];
        let gigaflops = [(stride, 1), (1, stride)].map(|(row, column)| {
            let milliseconds = time(|| {
                for _ in 0..20 {
                    let a = Matrix {
                        values: &a,
                        row,
                        column,
                    };
                    let c = &mut c;
                    let accumulate = false;
                    product(Product {
                        a,
                        b: &b,
                        c,
                        stride,
                        rows,
                        depth,
                        width,
                        accumulate,
                    });
                }
            });
            20.0 * 2.0 * (rows * depth * width) as f64 / milliseconds * 1e-6
        });
        println!("product {rows}x{depth}x{width}: {gigaflops:.0?} GFLOPS (A by rows, by columns)");
    }
}

fn attention_input<B: Backend>(x: &[Tensor<B, 4>], causal: bool) -> AttentionInput<B> {
    let part = |i: usize| x[i].clone().swap_dims(1, 2);
    let position = (x.len() == 5).then(|| RelativePosition {
        height: part(3),
        width: part(4),
    });
    AttentionInput::new(part(0), part(1), part(2))
        .with_relative_position(position)
        .with_causal(causal)
}

/// `[batch, heads, queries, keys, head_dim]` and the side of the grid of relative positions.
fn bench_attention(name: &str, size: [usize; 5], side: usize, causal: bool) {
    let [batch, heads, queries, keys, head_dim] = size;
    let mut inputs = vec![
        random([batch, queries, heads, head_dim], 1),
        random([batch, keys, heads, head_dim], 2),
        random([batch, keys, heads, head_dim], 3),
    ];
    if side > 0 {
        inputs.push(random([batch, queries, heads, side], 4));
        inputs.push(random([batch, queries, heads, side], 5));
    }
    report(
        name,
        &inputs,
        [
            &|x| attention(attention_input(x, causal)).swap_dims(1, 2),
            &|x| attention::composed(attention_input(x, causal)).swap_dims(1, 2),
        ],
        [
            &|x| attention(attention_input(x, causal)).swap_dims(1, 2),
            &|x| attention::composed(attention_input(x, causal)).swap_dims(1, 2),
        ],
    );
}

#[test]
#[ignore = "measures"]
fn bench_attention_training() {
    bench_attention("vision 16x4, 256x256, 48", [16, 4, 256, 256, 48], 0, false);
    bench_attention(
        "language 128x4, 45x345, 48, causal",
        [128, 4, 45, 345, 48],
        0,
        true,
    );
    bench_attention(
        "windows 400x4, 49x49, 48, positions",
        [400, 4, 49, 49, 48],
        7,
        false,
    );
    bench_attention("decoder 128x8, 7x256, 8", [128, 8, 7, 256, 8], 0, false);
    bench_attention("decoder 128x8, 256x7, 8", [128, 8, 256, 7, 8], 0, false);
    bench_attention("decoding 1x32, 1x1024, 128", [1, 32, 1, 1024, 128], 0, true);
}

#[test]
#[ignore = "measures"]
fn bench_attention_long() {
    bench_attention(
        "windows 25x16, 196x196, 80, positions",
        [25, 16, 196, 196, 80],
        14,
        false,
    );
    bench_attention(
        "global 1x16, 4096x4096, 80, positions",
        [1, 16, 4096, 4096, 80],
        64,
        false,
    );
}

/// Times a linear layer with its weight in f32 and in bf16, as loading leaves them.
#[test]
#[ignore = "measures"]
fn bench_linear() {
    use crate::linear;
    use burn::tensor::DType;
    for [rows, inputs, outputs] in [
        [1, 4096, 4096],
        [1, 11008, 4096],
        [4, 4096, 11008],
        [16, 4096, 4096],
        [20, 4096, 4096],
        [48, 4096, 4096],
        [400, 4096, 4096],
        [400, 4096, 11008],
        [576, 192, 192],
        [257, 192, 768],
        [4096, 1280, 1280],
    ] {
        let x = random([rows, inputs], 1);
        let wide = random([inputs, outputs], 2);
        let half = Tensor::<TestBackend, 2>::from_data(
            wide.clone().transpose().cast(DType::BF16).into_data(),
            (&Default::default(), DType::BF16),
        )
        .transpose();
        let halves = [half.clone(), {
            let data = half.cast(DType::F16).transpose().into_data();
            Tensor::from_data(data, (&Default::default(), DType::F16)).transpose()
        }];
        let of = |weight: &Tensor<TestBackend, 2>| time(|| linear(x.clone(), weight.clone(), None));
        let times = [of(&wide), of(&halves[0]), of(&halves[1])];
        let operations = 2.0 * (rows * inputs * outputs) as f64 * 1e-6;
        let bytes = (2 * inputs * outputs) as f64 * 1e-6;
        println!(
            "linear {rows}x{inputs}x{outputs}: f32 {:.3} ms, bf16 {:.3} ms, f16 {:.3} ms; bf16 {:.0} GFLOPS, {:.1} GB/s",
            times[0],
            times[1],
            times[2],
            operations / times[1],
            bytes / times[1]
        );
    }
}
