//! Peak of a machine's processor, for the shares that `cargo xtask bench peers` prints.
//!
//!     machine_peak THREADS
//!
//! Prints floating-point operations a second of a loop of f32 multiply-adds in registers, and bytes
//! a second that a copy in memory reads and writes, as JSON on one line.

use std::hint::black_box;
use std::time::Instant;

/// Multiply-adds that do not wait for one another.
const CHAINS: usize = 12;
/// Multiply-adds of a chain in a run.
const LONG: usize = 4_000_000;
/// Bytes of a thread's copy, more than caches hold.
const COPIED: usize = 256 << 20;
/// Runs, of which the fastest counts.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args()
        .nth(1)
        .ok_or("usage: machine_peak THREADS")?;
    let threads: usize = threads.parse()?;
    let flops = fastest(threads, || (), |()| multiply_adds());
    let buffers = || (vec![1u8; COPIED], vec![0u8; COPIED]);
    let bytes = fastest(threads, buffers, |(from, to)| {
        to.copy_from_slice(black_box(&from[..]));
        black_box(&to[..]);
        2 * COPIED
    });
    println!("{{\"flops\": {flops:.4e}, \"bytes\": {bytes:.4e}}}");
    Ok(())
}

/// Largest sum over threads of work a second; `work` returns how much it did.
fn fastest<T>(
    threads: usize,
    prepare: impl Fn() -> T + Sync,
    work: impl Fn(&mut T) -> usize + Sync,
) -> f64 {
    let together = std::sync::Barrier::new(threads);
    let thread = || {
        let mut state = prepare();
        let run = |_| {
            together.wait();
            let start = Instant::now();
            let done = work(&mut state);
            done as f64 / start.elapsed().as_secs_f64()
        };
        (0..=RUNS).map(run).collect::<Vec<f64>>()
    };
    let all: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended.map(|thread| thread.expect("a run")).collect()
    });
    let sums = (0..=RUNS).map(|run| all.iter().map(|thread| thread[run]).sum::<f64>());
    sums.fold(0.0, f64::max)
}

/// Floating-point operations of the widest instructions that the processor has.
fn multiply_adds() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::*;

        macro_rules! chains {
            ($name:ident, $features:literal, $splat:ident, $fma:ident, $lanes:literal) => {
                #[target_feature(enable = $features)]
                fn $name() -> usize {
                    let mut sums = [$splat(0.5); CHAINS];
                    let (factor, term) = ($splat(black_box(0.999)), $splat(black_box(0.001)));
                    for _ in 0..LONG {
                        for sum in &mut sums {
                            *sum = $fma(*sum, factor, term);
                        }
                    }
                    black_box(sums);
                    2 * $lanes * CHAINS * LONG
                }
            };
        }
        chains!(avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps, 16);
        chains!(avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps, 8);
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the features were detected, here and below.
            return unsafe { avx512() };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return unsafe { avx2() };
        }
    }
    let mut sums = [0.5f32; 4 * CHAINS];
    let (factor, term) = (black_box(0.999f32), black_box(0.001f32));
    for _ in 0..LONG {
        for sum in &mut sums {
            *sum = *sum * factor + term;
        }
    }
    black_box(sums);
    2 * 4 * CHAINS * LONG
}
