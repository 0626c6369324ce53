//! `cargo xtask bench peers`: a model in a GGUF file here and in llama.cpp, taking turns.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use super::process::peak_memory;
use super::program::{Program, number};
use super::statistics::median;
use crate::cargo::{built, script};

/// Names of the programs in the table.
const NAMES: [&str; 2] = ["here", "llama.cpp"];
const MEGABYTE: f64 = 1e6;

/// Options of `bench peers`.
#[derive(Debug, Args)]
pub struct Peers {
    /// Model, a GGUF file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Python with llama-cpp-python
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Threads of each program
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Runs of each task, of which the median counts
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Tokens of the prompts
    #[arg(long, default_values_t = [32, 400], value_name = "COUNT")]
    prompt: Vec<usize>,
    /// Tokens decoded in a run
    #[arg(long, default_value_t = 32, value_name = "COUNT")]
    decode: usize,
}

/// Measures both programs in turns.
pub fn run(options: &Peers) -> Result<()> {
    let mut programs = [ours(options)?, llama_cpp(options)?];
    let tasks: Vec<String> = std::iter::once(format!("decode {}", options.decode))
        .chain(options.prompt.iter().map(|count| format!("prompt {count}")))
        .collect();
    let mut seconds = vec![[Vec::new(), Vec::new()]; tasks.len()];
    for task in &tasks {
        // One run to warm up.
        for program in &mut programs {
            program.ask(task)?;
        }
    }
    for _ in 0..options.repeat {
        for (task, seconds) in tasks.iter().zip(&mut seconds) {
            for (program, seconds) in programs.iter_mut().zip(seconds) {
                seconds.push(program.ask(task)?);
            }
        }
    }
    println!("{}, {} threads", options.model.display(), options.threads);
    println!("| task | {} | {} | ratio |", NAMES[0], NAMES[1]);
    println!("| --- | --: | --: | --: |");
    let row = |name: &str, values: [f64; 2], unit: &str| {
        let [here, there] = values;
        println!(
            "| {name} | {here:.1} {unit} | {there:.1} {unit} | {:.2} |",
            here / there
        );
    };
    for (task, seconds) in tasks.iter().zip(&seconds) {
        row(
            task,
            seconds.each_ref().map(|seconds| median(seconds) * 1e3),
            "ms",
        );
    }
    let mut loads = [0.0; 2];
    for (load, program) in loads.iter_mut().zip(&programs) {
        *load = number(&program.about, "load")? * 1e3;
    }
    row("load", loads, "ms");
    let peaks = programs.each_ref().map(|program| peak_memory(program.id()));
    if let [Some(here), Some(there)] = peaks {
        row("peak memory", [here / MEGABYTE, there / MEGABYTE], "MB");
    }
    Ok(())
}

fn ours(options: &Peers) -> Result<Program> {
    let mut command = Command::new(built("gguf_bench", &[])?);
    command.arg(&options.model);
    command.env("RAYON_NUM_THREADS", options.threads.to_string());
    Program::start(&mut command)
}

fn llama_cpp(options: &Peers) -> Result<Program> {
    let mut command = Command::new(&options.python);
    command.arg(script("peer_llama_cpp.py"));
    command.arg(&options.model).arg(options.threads.to_string());
    Program::start(&mut command)
}
