//! `cargo xtask bench python`: what the Python package costs over the command line.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use super::process::measure;
use super::python::script;
use super::statistics::{largest, median};
use crate::cargo::{built, root};

/// Options of `bench python`.
#[derive(Debug, Args)]
pub struct Overhead {
    /// Python of an environment with the wheel
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// The program, of the same sources as the wheel [default: built]
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
    /// Processes of each, in turns
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// Questions that one more process asks, with its memory after each hundred
    #[arg(long, default_value_t = 0, value_name = "N")]
    questions: usize,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

const TEXT: &str = "the gorilla";

/// Asks the same question through both in turns, each time in a fresh process, and compares medians
/// of the time from opening the model to the answer as each process itself measures it.
pub fn run(options: &Overhead) -> Result<()> {
    ensure!(options.runs > 0, "--runs is 0");
    let program = match &options.program {
        Some(program) => program.clone(),
        None => built("anyref", &[])?,
    };
    let image = root().join("assets/demo/scene1.jpg");
    let with = |mut command: Command| {
        command.arg("--image").arg(&image).args(["--text", TEXT]);
        command.env("RAYON_NUM_THREADS", options.threads.to_string());
        // Idle threads of numpy's OpenBLAS spin for a while after the import, on cores of ours.
        command.env("OPENBLAS_NUM_THREADS", "1");
        command
    };
    let ask = |mut command: Command| -> Result<Value> {
        let output = measure(&mut command)?.output;
        serde_json::from_str(&output).context("no JSON object was printed")
    };
    let python = || with(script(&options.python, "overhead.py", "flex"));
    let (mut theirs, mut ours, mut imports) = (Vec::new(), Vec::new(), Vec::new());
    // One of each ahead, which brings the files into memory.
    for turn in 0..=options.runs {
        let mut segment = Command::new(&program);
        segment.args(["segment", "--json"]);
        // Each is the first of every other turn.
        let (command_line, package) = if turn % 2 == 0 {
            let command_line = ask(with(segment))?;
            (command_line, ask(python())?)
        } else {
            let package = ask(python())?;
            (ask(with(segment))?, package)
        };
        let counts: Vec<&Value> = masks(&command_line).map(|mask| &mask["counts"]).collect();
        let same: Vec<&Value> = package["counts"].as_array().into_iter().flatten().collect();
        ensure!(
            command_line["text"] == package["text"] && counts == same,
            "the answers differ: {command_line} and {package}"
        );
        if turn > 0 {
            theirs.push(number(&command_line["timing_ms"]["total"])? / 1e3);
            ours.push(number(&package["total"])?);
            imports.push(number(&package["import"])?);
        }
    }
    let (command_line, package) = (median(&theirs), median(&ours));
    println!(
        "{} processes of each in turns, {} threads",
        options.runs, options.threads
    );
    println!("  anyref segment  {:7.1} ms, median", command_line * 1e3);
    println!("  Python          {:7.1} ms, median", package * 1e3);
    println!(
        "  overhead        {:+7.2} %",
        (package / command_line - 1.0) * 1e2
    );
    println!(
        "  import anyref   {:7.1} ms after numpy, median (slowest {:.1})",
        median(&imports) * 1e3,
        largest(&imports) * 1e3
    );
    if options.questions > 0 {
        let mut command = python();
        command.args(["--questions", &options.questions.to_string()]);
        let levels = ask(command)?;
        println!("  memory after each hundred questions, in MB");
        for level in levels["levels"].as_array().into_iter().flatten() {
            println!("    {:.1}", number(level)? / 1e6);
        }
    }
    Ok(())
}

fn masks(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["masks"].as_array().into_iter().flatten()
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().context("a number is missing")
}
