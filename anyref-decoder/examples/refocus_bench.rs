//! Times refocusing on a backend, its own form and the composed one, for `cargo xtask bench refocus`.
//!
//! Takes the backend's name, the repetitions, and cases `objects,heads,positions,width`; prints a JSON object a line.
//! Each object has a row of its own, the span is the second half of its context, and heads are 128 wide.

use std::time::Instant;

use anyref_decoder::refocus::{ObjectToken, RefocusInput, has_own_form, reference, refocus};
use anyref_weights::testing::random;
use burn::tensor::{Tensor, backend::Backend};

const HEAD_DIM: usize = 128;
/// Values of the buffer that is copied to measure bandwidth.
const COPIED: usize = 32 << 20;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [backend, repeat, cases @ ..] = &arguments[..] else {
        return Err(
            "give a backend, repetitions, and cases as objects,heads,positions,width".into(),
        );
    };
    let repeat = repeat.parse::<usize>()?.max(1);
    let cases = cases.iter().map(|case| sizes(case));
    let cases = cases.collect::<Result<Vec<_>, _>>()?;
    match backend.as_str() {
        #[cfg(feature = "flex")]
        "flex" => bench::<burn::backend::Flex>(copy_on_processor, repeat, &cases),
        #[cfg(any(
            feature = "wgpu",
            feature = "vulkan",
            feature = "metal",
            feature = "webgpu"
        ))]
        "wgpu" | "vulkan" | "metal" | "webgpu" => {
            bench::<burn::backend::Wgpu>(copy_on_device::<burn::backend::Wgpu>, repeat, &cases)
        }
        #[cfg(feature = "cuda")]
        "cuda" => {
            bench::<burn::backend::Cuda>(copy_on_device::<burn::backend::Cuda>, repeat, &cases)
        }
        other => Err(format!("no backend {other}: build with --features {other}").into()),
    }
}

fn sizes(case: &str) -> Result<[usize; 4], Failure> {
    let numbers = case
        .split(',')
        .map(str::parse::<usize>)
        .collect::<Result<Vec<_>, _>>()?;
    let sizes: [usize; 4] = numbers
        .try_into()
        .map_err(|_| format!("{case} is not objects,heads,positions,width"))?;
    match sizes.contains(&0) || sizes[2] < 4 {
        true => Err(format!("{case} has too small a size").into()),
        false => Ok(sizes),
    }
}

fn bench<B: Backend>(
    copy: fn() -> f64,
    repeat: usize,
    cases: &[[usize; 4]],
) -> Result<(), Failure> {
    if !has_own_form::<B>() {
        return Err("the backend has no form of its own to measure".into());
    }
    let bandwidth = (0..5).map(|_| copy()).fold(0.0, f64::max);
    println!("{{\"copy_bytes_per_second\": {bandwidth:.4e}}}");
    for &[objects, heads, positions, width] in cases {
        let device = B::Device::default();
        let input = RefocusInput::<B> {
            query: random([objects, heads, HEAD_DIM], 1, &device),
            key: random([objects, heads, positions, HEAD_DIM], 2, &device),
            hidden: random([objects, positions, width], 3, &device),
            hidden_offset: 0,
            objects: (0..objects)
                .map(|row| ObjectToken {
                    row,
                    position: positions - 1,
                    start: positions / 2,
                    end: positions - 1,
                    context_start: 0,
                })
                .collect(),
            lambda: 0.1,
        };
        let own = seconds::<B>(repeat, || refocus(input.clone()))?;
        let composed = seconds::<B>(repeat, || reference::refocus(input.clone()))?;
        // The keys once, those of the span twice, the span's states and the object's own.
        let span = positions - 1 - positions / 2;
        let bytes = 4 * objects * (heads * HEAD_DIM * (positions + span) + width * (span + 2));
        println!(
            "{{\"objects\": {objects}, \"heads\": {heads}, \"positions\": {positions}, \"width\": {width}, \
             \"bytes\": {bytes}, \"own\": {own:.4e}, \"composed\": {composed:.4e}}}"
        );
    }
    Ok(())
}

/// The median time of a run that is waited for.
fn seconds<B: Backend>(repeat: usize, run: impl Fn() -> Tensor<B, 2>) -> Result<f64, Failure> {
    let device = B::Device::default();
    let mut times = Vec::new();
    for index in 0..repeat + 2 {
        B::sync(&device)?;
        let start = Instant::now();
        let output = run();
        let value = output.slice([0..1, 0..1]).into_data();
        // The first two compile and choose kernels.
        if index >= 2 {
            times.push(start.elapsed().as_secs_f64());
        }
        assert!(value.iter::<f32>().all(f32::is_finite));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Bytes read and written a second by a copy on the device.
#[allow(dead_code, reason = "a build for the processor alone has no device")]
fn copy_on_device<B: Backend>() -> f64 {
    let device = B::Device::default();
    let source = Tensor::<B, 1>::ones([COPIED], &device);
    let _ = (source.clone() + 1.0).narrow(0, 0, 1).into_data();
    let start = Instant::now();
    let copy = source + 1.0;
    let _ = copy.narrow(0, 0, 1).into_data();
    8.0 * COPIED as f64 / start.elapsed().as_secs_f64()
}

/// Bytes read and written a second by a copy on all cores.
#[cfg(feature = "flex")]
fn copy_on_processor() -> f64 {
    use rayon::prelude::*;
    let source = vec![1.0_f32; COPIED];
    let mut copy = vec![2.0_f32; COPIED];
    let start = Instant::now();
    copy.par_chunks_mut(1 << 16)
        .zip(source.par_chunks(1 << 16))
        .for_each(|(copy, source)| copy.copy_from_slice(source));
    let elapsed = start.elapsed().as_secs_f64();
    assert_eq!(copy[COPIED / 2], 1.0);
    8.0 * COPIED as f64 / elapsed
}
