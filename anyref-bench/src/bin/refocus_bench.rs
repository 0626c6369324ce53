//! Times refocusing on a backend, its own form and the composed one, for `cargo xtask bench
//! refocus`.
//!
//! Takes the backend's name, the type of values and a case `objects,heads,positions,width`; each
//! object has a row of its own, the span is the second half of its context, and heads are 128 wide.
//! Prints what it found as JSON on one line, then answers every line `own` or `composed` on its
//! input with the seconds of one run, so that its runs can take turns with those of other programs.
//!
//! A GPU is asked for many runs before it is waited for, on inputs that its cache does not hold
//! together, and the time is divided by their number: what the processor waits for the GPU is no
//! part of what the GPU computes.

use std::io::BufRead;
use std::time::Instant;

use anyref_decoder::refocus::{ObjectToken, RefocusInput, has_own_form, reference, refocus};
use anyref_ops::DeviceWatch;
use anyref_ops::testing::random;
use anyref_weights::WeightType;
use burn::tensor::{DType, Tensor, backend::Backend};

const HEAD_DIM: usize = 128;
/// Values of a buffer that is copied to measure bandwidth; some devices bind no larger ones.
const COPIED: usize = 32 << 20;

type Failure = Box<dyn std::error::Error>;
/// Form of refocusing.
type Form<B> = fn(RefocusInput<B>) -> Tensor<B, 2>;

/// Measuring of a kind of device.
struct Device {
    /// Number of runs that are waited for together, and the total bytes of their inputs.
    at_once: [usize; 2],
    /// Measures the bandwidth of a copy, reading and writing, in bytes per second.
    copy: fn() -> f64,
    /// Resets the memory counter.
    reset: fn(),
    /// Peak memory in bytes since the reset, where available.
    peak: fn() -> Option<u64>,
}

/// Inputs of refocusing.
struct Case {
    /// Objects, heads, positions and width of the states.
    sizes: [usize; 4],
    /// Type of queries, keys and states.
    dtype: DType,
}

fn main() -> Result<(), Failure> {
    DeviceWatch::start().run(run)?
}

fn run() -> Result<(), Failure> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [backend, dtype, case] = &arguments[..] else {
        return Err("give a backend, a type and a case as objects,heads,positions,width".into());
    };
    let dtype = dtype.parse::<WeightType>()?.fixed().unwrap_or(DType::F32);
    let case = Case {
        sizes: sizes(case)?,
        dtype,
    };
    match backend.as_str() {
        "flex" => {
            let device = Device {
                at_once: [1, 0],
                copy: processor::copy,
                reset: processor::reset,
                peak: processor::peak,
            };
            bench::<burn::backend::Flex>(&device, &case)
        }
        #[cfg(any(
            feature = "wgpu",
            feature = "vulkan",
            feature = "metal",
            feature = "webgpu"
        ))]
        "wgpu" | "vulkan" | "metal" | "webgpu" => {
            gpu::start(backend);
            type Runtime = burn::backend::wgpu::WgpuRuntime;
            bench::<burn::backend::Wgpu>(&gpu::device::<burn::backend::Wgpu, Runtime>(), &case)
        }
        #[cfg(feature = "cuda")]
        "cuda" => {
            type Runtime = cubecl::cuda::CudaRuntime;
            bench::<burn::backend::Cuda>(&gpu::device::<burn::backend::Cuda, Runtime>(), &case)
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

fn bench<B: Backend>(device: &Device, case: &Case) -> Result<(), Failure> {
    let place = B::Device::default();
    if !has_own_form::<B>() {
        return Err("the backend has no form of its own to measure".into());
    }
    if !B::supports_dtype(&place, case.dtype) {
        return Err(format!(
            "{} does not compute in {}",
            B::name(&place),
            case.dtype.name()
        )
        .into());
    }
    let [objects, heads, positions, width] = case.sizes;
    let bandwidth = (0..5).map(|_| (device.copy)()).fold(0.0, f64::max);
    let [runs, all_bytes] = device.at_once;
    let value = case.dtype.size();
    let one = value * objects * (heads * HEAD_DIM * positions + width * positions);
    let inputs = (0..(all_bytes / one).clamp(1, runs))
        .map(|seed| input::<B>(case, 3 * seed as u64, &place))
        .collect::<Vec<_>>();
    B::sync(&place)?;
    let forms: [(&str, Form<B>); 2] = [("own", refocus), ("composed", reference::refocus)];
    let mut memory = Vec::new();
    for (_, form) in forms {
        // The first runs compile and choose kernels, which takes additional memory.
        for _ in 0..2 {
            seconds(&inputs, form, runs)?;
        }
        B::memory_cleanup(&place);
        B::sync(&place)?;
        (device.reset)();
        seconds(&inputs[..1], form, 1)?;
        memory.push((device.peak)());
    }
    // Minimum bytes to read: the keys once, the span's states and the object's own.
    let span = positions - 1 - positions / 2;
    let bytes = value * objects * (heads * HEAD_DIM * positions + width * (span + 1));
    let json = |bytes: Option<u64>| bytes.map_or("null".into(), |bytes| bytes.to_string());
    println!(
        "{{\"copy_bytes_per_second\": {bandwidth:.4e}, \"bytes\": {bytes}, \"own_memory\": {}, \"composed_memory\": {}}}",
        json(memory[0]),
        json(memory[1])
    );
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let form = forms.iter().find(|(name, _)| *name == line);
        let (_, form) = form.ok_or_else(|| format!("no form {line}"))?;
        println!("{:.6e}", seconds(&inputs, *form, runs)?);
    }
    Ok(())
}

/// Random arguments of a case.
fn input<B: Backend>(case: &Case, seed: u64, device: &B::Device) -> RefocusInput<B> {
    let [objects, heads, positions, width] = case.sizes;
    let query = random::<B, 3>([objects, heads, HEAD_DIM], seed + 1, device);
    let key = random::<B, 4>([objects, heads, positions, HEAD_DIM], seed + 2, device);
    let hidden = random::<B, 3>([objects, positions, width], seed + 3, device);
    RefocusInput {
        query: query.cast(case.dtype),
        key: key.cast(case.dtype),
        hidden: hidden.cast(case.dtype),
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
    }
}

/// Mean seconds of a run, over runs that are waited for together.
fn seconds<B: Backend>(
    inputs: &[RefocusInput<B>],
    form: Form<B>,
    runs: usize,
) -> Result<f64, Failure> {
    B::sync(&B::Device::default())?;
    let start = Instant::now();
    let turns = inputs.iter().cycle().take(runs);
    let states: Vec<_> = turns.map(|input| form(input.clone())).collect();
    B::sync(&B::Device::default())?;
    let seconds = start.elapsed().as_secs_f64() / runs as f64;
    for states in states {
        let value = states.slice([0..1, 0..1]).into_data();
        assert!(value.iter::<f32>().all(f32::is_finite));
    }
    Ok(seconds)
}

mod processor {
    use std::fs;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use rayon::prelude::*;

    /// Resident memory at the reset.
    static BEFORE: AtomicU64 = AtomicU64::new(0);

    pub fn copy() -> f64 {
        let source = vec![1.0_f32; super::COPIED];
        let mut copy = vec![2.0_f32; super::COPIED];
        let start = Instant::now();
        copy.par_chunks_mut(1 << 16)
            .zip(source.par_chunks(1 << 16))
            .for_each(|(copy, source)| copy.copy_from_slice(source));
        let elapsed = start.elapsed().as_secs_f64();
        assert_eq!(copy[super::COPIED / 2], 1.0);
        8.0 * super::COPIED as f64 / elapsed
    }

    pub fn reset() {
        // Writing 5 resets the peak to the current resident memory.
        let _ = fs::write("/proc/self/clear_refs", "5");
        BEFORE.store(status("VmRSS:").unwrap_or(0), Ordering::Relaxed);
    }

    pub fn peak() -> Option<u64> {
        Some(status("VmHWM:")?.saturating_sub(BEFORE.load(Ordering::Relaxed)))
    }

    fn status(name: &str) -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }
}

#[cfg(any(
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal",
    feature = "webgpu",
    feature = "cuda"
))]
mod gpu {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use burn::tensor::{Tensor, backend::Backend};
    use cubecl::Runtime;

    /// Memory of the device's pools at the reset.
    static BEFORE: AtomicU64 = AtomicU64::new(0);
    /// Number of runs that are waited for together.
    const RUNS: usize = 32;
    /// Total bytes of the inputs, more than a cache holds.
    const INPUTS: usize = 400 << 20;
    /// Number of copies that are waited for together: 1 GB in total, more than a cache holds.
    const COPIES: usize = 8;

    pub fn device<B: Backend, R: Runtime>() -> super::Device {
        super::Device {
            at_once: [RUNS, INPUTS],
            copy: copy::<B>,
            reset: || BEFORE.store(reserved::<R>().unwrap_or(0), Ordering::Relaxed),
            // Pools keep the memory that was allocated from them, so their size is the peak.
            peak: || Some(reserved::<R>()?.saturating_sub(BEFORE.load(Ordering::Relaxed))),
        }
    }

    fn reserved<R: Runtime>() -> Option<u64> {
        let usage = R::client(&Default::default()).memory_usage().ok()?;
        Some(usage.bytes_reserved)
    }

    fn copy<B: Backend>() -> f64 {
        let device = B::Device::default();
        // Each has a source of its own: copies of one source would become one kernel, which reads
        // it once.
        let sources = (0..COPIES)
            .map(|_| Tensor::<B, 1>::ones([super::COPIED], &device))
            .collect::<Vec<_>>();
        let run = || {
            let copies = sources
                .iter()
                .map(|source| source.clone() + 1.0)
                .collect::<Vec<_>>();
            B::sync(&device).expect("a device that copies");
            copies
        };
        drop(run());
        let start = Instant::now();
        let copies = run();
        let elapsed = start.elapsed().as_secs_f64();
        for copy in copies {
            let last = copy.narrow(0, super::COPIED - 1, 1).into_data();
            assert!(last.iter::<f32>().all(|value| value == 2.0));
        }
        8.0 * (COPIES * super::COPIED) as f64 / elapsed
    }

    /// Starts the device with a page for every buffer, so that memory can be measured.
    #[cfg(any(
        feature = "wgpu",
        feature = "vulkan",
        feature = "metal",
        feature = "webgpu"
    ))]
    pub fn start(backend: &str) {
        use burn::backend::wgpu::graphics::{AutoGraphicsApi, Metal, Vulkan};
        use burn::backend::wgpu::{MemoryConfiguration, RuntimeOptions, init_setup};
        let options = RuntimeOptions {
            memory_config: MemoryConfiguration::ExclusivePages,
            ..RuntimeOptions::default()
        };
        let device = Default::default();
        match backend {
            "vulkan" => init_setup::<Vulkan>(&device, options),
            "metal" => init_setup::<Metal>(&device, options),
            _ => init_setup::<AutoGraphicsApi>(&device, options),
        };
    }
}
