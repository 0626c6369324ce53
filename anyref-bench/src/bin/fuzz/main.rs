//! Fuzzing of every parser of the workspace with mutated files, for `cargo xtask fuzz`.
//!
//! `fuzz COUNT FIRST KEEP [FORMAT]…` reads the inputs `FIRST..FIRST + COUNT` of each named format,
//! or of all. An input depends on its number alone. An input that causes a panic, an error of
//! several lines, or more memory or time than its size justifies is written to the folder `KEEP`,
//! and the program fails.

mod allocation;
mod format;
mod mutation;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use allocation::Allocation;
use format::Format;

/// Bytes that may be allocated for each byte of input; a value of a pickle takes some hundred.
const BYTES_PER_BYTE: usize = 2048;

/// Time limit of an input, also on a busy machine.
const SLOWEST: Duration = Duration::from_secs(10);

#[global_allocator]
static ALLOCATION: Allocation = Allocation::new();

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [count, first, keep, wanted @ ..] = arguments.as_slice() else {
        return Err("usage: fuzz COUNT FIRST KEEP [FORMAT]...".into());
    };
    let (count, first) = (count.parse()?, first.parse()?);
    let formats = Format::open(wanted)?;
    // Panics are findings.
    std::panic::set_hook(Box::new(|_| {}));
    for format in formats {
        read_inputs(&format, count, first, Path::new(keep))?;
    }
    Ok(())
}

/// Reads the inputs `first..first + count` of a format; writes a failing one to `keep`.
fn read_inputs(format: &Format, count: u64, first: u64, keep: &Path) -> Result<(), Box<dyn Error>> {
    let name = format.name();
    let (start, mut read, mut told) = (Instant::now(), 0, Instant::now());
    for number in first..first + count {
        let bytes = mutation::mutated(format.seeds(), number);
        match tried(format, &bytes) {
            Ok(whole) => read += u64::from(whole),
            Err(finding) => {
                std::fs::create_dir_all(keep)?;
                let path = keep.join(format!("{name}-{number}"));
                std::fs::write(&path, &bytes)?;
                return Err(
                    format!("input {number} of {name}: {finding}; {}", path.display()).into(),
                );
            }
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("{name}: {} of {count}", number + 1 - first);
        }
    }
    println!(
        "{name}: {count} inputs from {first}, {read} read and {} refused, {:.1} s",
        count - read,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Returns whether an input was accepted, as opposed to properly rejected.
///
/// # Errors
/// The finding, when the input is neither accepted nor properly rejected.
fn tried(format: &Format, bytes: &[u8]) -> Result<bool, String> {
    let (before, start) = (ALLOCATION.start(), Instant::now());
    let read = catch_unwind(AssertUnwindSafe(|| format.read(bytes)));
    let (taken, time) = (ALLOCATION.peak().saturating_sub(before), start.elapsed());
    let read = read.map_err(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("panics: {}", message.unwrap_or("without a message"))
    })?;
    if taken > format.free_bytes() + BYTES_PER_BYTE * bytes.len() {
        return Err(format!("takes {taken} bytes of memory for {}", bytes.len()));
    }
    if time > SLOWEST {
        return Err(format!("takes {:.1} s", time.as_secs_f64()));
    }
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.contains('\n') => Err(format!("its error has several lines: {error}")),
        Err(_) => Ok(false),
    }
}
