//! `cargo xtask bench serve`: what HTTP costs over an engine in process, and the page's start.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::process::measure;
use super::program::Program;
use super::statistics::{largest, median};
use crate::cargo::{built, root};

/// Options of `bench serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Picture asked about [default: the first of assets/demo]
    #[arg(long)]
    image: Option<PathBuf>,
    /// Phrase to look for
    #[arg(long, default_value = "the gorilla")]
    text: String,
    /// Model folder [default: assets/nano]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Runs of each, in turns
    #[arg(long, default_value_t = 40)]
    runs: usize,
    /// Threads of either process
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Chromium that opens the page, with the page's npm packages installed; none leaves it out
    #[arg(long, value_name = "PROGRAM")]
    chromium: Option<PathBuf>,
}

/// Asks the same questions in process and over HTTP in turns, and compares medians.
pub fn run(options: &Serve) -> Result<()> {
    ensure!(options.runs > 0, "--runs is 0");
    let program = built("anyref", &[])?;
    let or = |given: &Option<PathBuf>, usual: &str| match given {
        Some(given) => given.clone(),
        None => root().join(usual),
    };
    let mut command = Command::new(built("serve_bench", &[])?);
    command.arg(&program).arg(or(&options.model, "assets/nano"));
    command.arg(or(&options.image, "assets/demo/scene1.jpg"));
    command.arg(&options.text);
    command.env("RAYON_NUM_THREADS", options.threads.to_string());
    let mut bench = Program::start(&mut command)?;
    println!(
        "{} runs of each in turns, {} threads, on {}",
        options.runs,
        options.threads,
        bench.about["device"].as_str().unwrap_or("?")
    );
    for (name, what) in [
        ("new", "first answer on a new picture"),
        ("next", "next answer on the same picture"),
    ] {
        let (engine, http) = (format!("engine {name}"), format!("http {name}"));
        let (mut own, mut far) = (Vec::new(), Vec::new());
        // One of each ahead, which warms both.
        for turn in 0..=options.runs {
            // Each is the first of every other turn.
            let (one, other) = match turn % 2 {
                0 => {
                    let one = bench.ask(&engine)?;
                    (one, bench.ask(&http)?)
                }
                _ => {
                    let other = bench.ask(&http)?;
                    (bench.ask(&engine)?, other)
                }
            };
            if turn > 0 {
                own.push(one * 1e3);
                far.push(other * 1e3);
            }
        }
        let (own, far) = (median(&own), median(&far));
        println!("  {what}, medians");
        println!("    in process {own:7.2} ms");
        println!("    over HTTP  {far:7.2} ms, {:+.2} ms", far - own);
    }
    let alive: Result<Vec<f64>> = (0..200).map(|_| bench.ask("http alive")).collect();
    println!(
        "  a request without a model {:.2} ms",
        median(&alive?) * 1e3
    );
    drop(bench);
    match &options.chromium {
        Some(chromium) => page(&program, chromium),
        None => Ok(()),
    }
}

/// Times from the address to a page that answers to clicks, with the model's name on it.
fn page(program: &PathBuf, chromium: &PathBuf) -> Result<()> {
    let mut command = Command::new("node");
    command.arg(root().join("anyref-server/tests/page/interactive.mjs"));
    command.env("ANYREF", program).env("CHROMIUM", chromium);
    let output = measure(&mut command)?.output;
    let times: Vec<f64> = serde_json::from_str(&output).context("no list of times was printed")?;
    println!(
        "  page interactive {:.0} ms, median of {} (slowest {:.0})",
        median(&times),
        times.len(),
        largest(&times)
    );
    Ok(())
}
