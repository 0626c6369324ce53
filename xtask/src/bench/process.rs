//! Time and memory of another process.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Interval of sampling memory. The system keeps the peak itself, so only a peak in the last moment
/// can be missed.
const INTERVAL: Duration = Duration::from_millis(2);

/// Time and memory of a process.
#[derive(Debug)]
pub struct Measured {
    /// Time from start to end in seconds.
    pub seconds: f64,
    /// Largest resident memory in bytes; `None` without `/proc`.
    pub peak: Option<f64>,
    /// Standard output.
    pub output: String,
}

/// Runs a program that prints little, and measures it.
pub fn measure(command: &mut Command) -> Result<Measured> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let id = child.id();
    let mut peak = None;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak = peak_memory(id).or(peak);
        thread::sleep(INTERVAL);
    };
    let seconds = start.elapsed().as_secs_f64();
    let output = child.wait_with_output()?;
    if !status.success() {
        bail!(
            "{:?} failed with {status}: {}",
            command.get_program(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(Measured {
        seconds,
        peak,
        output: String::from_utf8(output.stdout)?,
    })
}

/// Peak resident memory of a running process in bytes.
pub fn peak_memory(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}
