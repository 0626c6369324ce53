//! Times burn's own attention against the composed form of `ops::attention` on a backend, and how far each is from the
//! composed form in f32, for `cargo xtask bench attention`.
//!
//! Takes the backend's name, the repetitions, and cases `batch,heads,queries,keys,width`, after which `causal` may come;
//! prints a line of a table for each and for each type of floats that the device has.

use std::time::Instant;

use anyref_weights::ops::{self, AttentionInput};
use anyref_weights::testing::random;
use burn::tensor::backend::Backend;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Tensor};

type Failure = Box<dyn std::error::Error>;
/// A form of attention.
type Form<B> = fn([Tensor<B, 4>; 3], bool) -> Tensor<B, 4>;

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// Batch, heads, queries, keys and width of a head.
    sizes: [usize; 5],
    causal: bool,
}

fn main() -> Result<(), Failure> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [backend, repeat, cases @ ..] = &arguments[..] else {
        return Err(
            "give a backend, repetitions, and cases as batch,heads,queries,keys,width[,causal]"
                .into(),
        );
    };
    let repeat = repeat.parse::<usize>()?.max(1);
    let cases = cases.iter().map(|text| case(text));
    let cases = cases.collect::<Result<Vec<_>, _>>()?;
    match backend.as_str() {
        #[cfg(any(
            feature = "wgpu",
            feature = "vulkan",
            feature = "metal",
            feature = "webgpu"
        ))]
        "wgpu" | "vulkan" | "metal" | "webgpu" => bench::<burn::backend::Wgpu>(repeat, &cases),
        #[cfg(feature = "cuda")]
        "cuda" => bench::<burn::backend::Cuda>(repeat, &cases),
        other => {
            // A build for the processor alone measures nothing.
            let _ = (repeat, cases);
            Err(format!("no GPU backend {other}: build with --features {other}").into())
        }
    }
}

fn case(text: &str) -> Result<Case, Failure> {
    let (sizes, causal) = match text.strip_suffix(",causal") {
        Some(sizes) => (sizes, true),
        None => (text, false),
    };
    let sizes = sizes
        .split(',')
        .map(str::parse::<usize>)
        .collect::<Result<Vec<_>, _>>()?;
    let sizes = sizes
        .try_into()
        .map_err(|_| format!("{text} is not batch,heads,queries,keys,width[,causal]"))?;
    Ok(Case { sizes, causal })
}

#[allow(
    dead_code,
    reason = "a build for the processor alone has nothing to measure"
)]
fn bench<B: Backend>(repeat: usize, cases: &[Case]) -> Result<(), Failure> {
    let device = B::Device::default();
    for case in cases {
        let [batch, heads, queries, keys, width] = case.sizes;
        let inputs = [(queries, 1), (keys, 2), (keys, 3)].map(|(length, seed)| {
            random::<B, 4>([batch, heads, length, width], seed, &device) * 3.0
        });
        let expected = composed(inputs.clone(), case.causal);
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            if !B::supports_dtype(&device, dtype) {
                continue;
            }
            let inputs = inputs.clone().map(|x| x.cast(dtype));
            let forms: [Form<B>; 2] = [fused, composed];
            let errors = forms.map(|form| {
                let found = form(inputs.clone(), case.causal).cast(DType::F32);
                (found - expected.clone())
                    .abs()
                    .max()
                    .into_data()
                    .iter::<f32>()
                    .next()
                    .unwrap_or(f32::NAN)
            });
            let mut times = [vec![], vec![]];
            // The first runs compile and choose kernels.
            for run in 0..repeat + 2 {
                for (form, times) in forms.iter().zip(&mut times) {
                    B::sync(&device)?;
                    let start = Instant::now();
                    let output = form(inputs.clone(), case.causal);
                    let _ = output.slice([0..1, 0..1, 0..1, 0..1]).into_data();
                    if run >= 2 {
                        times.push(start.elapsed().as_secs_f64() * 1e3);
                    }
                }
            }
            let [fused, composed] = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                times[times.len() / 2]
            });
            let causal = if case.causal { "causal" } else { "" };
            println!(
                "| {batch} x {heads} | {queries} | {keys} | {width} | {causal} | {} | {fused:.2} ms | {composed:.2} ms | {:.2} | {:.1e} | {:.1e} |",
                dtype.name(),
                composed / fused,
                errors[0],
                errors[1]
            );
        }
    }
    Ok(())
}

fn fused<B: Backend>([query, key, value]: [Tensor<B, 4>; 3], is_causal: bool) -> Tensor<B, 4> {
    let options = AttentionModuleOptions {
        is_causal,
        ..AttentionModuleOptions::default()
    };
    attention(query, key, value, None, None, options)
}

fn composed<B: Backend>([query, key, value]: [Tensor<B, 4>; 3], causal: bool) -> Tensor<B, 4> {
    ops::attention(AttentionInput::new(query, key, value).with_causal(causal))
}
