//! Peak of the machine, and shares of it.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::program::number;
use crate::cargo::built;

/// Peak of the machine with as many threads as the programs have.
pub(super) struct Machine {
    threads: usize,
    /// Floating-point operations a second, of multiply-adds in registers.
    flops: f64,
    /// Bytes a second that a copy reads and writes.
    bytes: f64,
}

impl Machine {
    /// Measures the peak.
    pub(super) fn measured(threads: usize) -> Result<Self> {
        let mut command = Command::new(built("machine_peak", &[])?);
        let output = command.arg(threads.to_string()).output()?;
        if !output.status.success() {
            bail!("machine_peak failed with {}", output.status);
        }
        let found: Value = serde_json::from_slice(&output.stdout)
            .context("machine_peak printed no JSON object")?;
        Ok(Self {
            threads,
            flops: number(&found, "flops")?,
            bytes: number(&found, "bytes")?,
        })
    }

    /// Share of the peak that work of some operations and bytes reaches: the larger one.
    pub(super) fn share(&self, flops: f64, bytes: f64, seconds: f64) -> f64 {
        let limits = [flops / self.flops, bytes / self.bytes];
        limits.into_iter().fold(0.0, f64::max) / seconds
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gflops, gigabytes) = (self.flops / 1e9, self.bytes / 1e9);
        write!(
            f,
            "{} threads; peak of f32 {gflops:.0} GFLOP/s, of a copy {gigabytes:.1} GB/s",
            self.threads
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_held_up_by_the_scarcer_of_both() {
        let machine = Machine {
            threads: 1,
            flops: 100.0,
            bytes: 10.0,
        };
        assert_eq!(machine.share(50.0, 1.0, 1.0), 0.5);
        assert_eq!(machine.share(50.0, 8.0, 1.0), 0.8);
        assert_eq!(machine.share(50.0, 8.0, 2.0), 0.4);
    }
}
