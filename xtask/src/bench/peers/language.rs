//! Models in GGUF files, against llama.cpp.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::super::process::peak_memory;
use super::super::program::{Program, number};
use super::super::statistics::median;
use super::machine::Machine;
use super::options::Peers;
use crate::cargo::{built, run as run_command, script};

/// Names of the programs in the table.
const NAMES: [&str; 2] = ["here", "llama.cpp"];
const MEGABYTE: f64 = 1e6;
/// Task with which a start ends.
const FIRST: &str = "prompt 32";

/// File of a model of random weights, `SIZE-FORMAT`; made unless it is there.
pub(super) fn random(name: &str, folder: &Path) -> Result<PathBuf> {
    let (size, format) = name
        .split_once('-')
        .with_context(|| format!("--random {name}: give a size and a format, such as 7b-q4_k"))?;
    let path = folder.join(format!("random-{name}.gguf"));
    if !path.is_file() {
        println!("making {}", path.display());
        let mut command = Command::new(built("random_gguf", &[])?);
        run_command(command.args([size, format]).arg(&path))?;
    }
    Ok(path)
}

/// Least work of a task.
enum Work {
    /// Every weight read once.
    Decode,
    /// Every weight multiplied with as many rows.
    Prompt(usize),
}

/// Measures both programs in turns.
pub(super) fn run(options: &Peers, model: &Path, machine: &Machine) -> Result<()> {
    // Each ends before the next begins, so that both have the machine's memory.
    let mut starts = [Vec::new(), Vec::new()];
    let mut loads = [Vec::new(), Vec::new()];
    for _ in 0..options.starts {
        for (side, (starts, loads)) in starts.iter_mut().zip(&mut loads).enumerate() {
            let mut program = start(options, model, side)?;
            let load = number(&program.about, "load")?;
            loads.push(load);
            starts.push(load + program.ask(FIRST)?);
        }
    }
    let mut programs = [start(options, model, 0)?, start(options, model, 1)?];
    let decode = std::iter::once((format!("decode {}", options.decode), Work::Decode));
    let prompts = options.prompt.iter();
    let prompts = prompts.map(|&count| (format!("prompt {count}"), Work::Prompt(count)));
    let tasks: Vec<(String, Work)> = decode.chain(prompts).collect();
    let mut seconds = vec![[Vec::new(), Vec::new()]; tasks.len()];
    for (task, _) in &tasks {
        // One run to warm up.
        for program in &mut programs {
            program.ask(task)?;
        }
    }
    for _ in 0..options.repeat {
        for ((task, _), seconds) in tasks.iter().zip(&mut seconds) {
            for (program, seconds) in programs.iter_mut().zip(seconds) {
                seconds.push(program.take_turn(task)?);
            }
        }
    }
    println!(
        "\n{}, {} threads, keys and values in {} here",
        model.display(),
        options.threads,
        options.kv_cache
    );
    println!(
        "| task | {} | {} | ratio | of the peak |",
        NAMES[0], NAMES[1]
    );
    println!("| --- | --: | --: | --: | --: |");
    let row = |name: &str, [here, there]: [f64; 2], unit: &str, share: Option<f64>| {
        let share = share.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
        println!(
            "| {name} | {here:.1} {unit} | {there:.1} {unit} | {:.2} | {share} |",
            here / there
        );
    };
    let about = &programs[0].about;
    let (values, bytes) = (number(about, "values")?, number(about, "bytes")?);
    for ((task, work), seconds) in tasks.iter().zip(&seconds) {
        let medians = seconds.each_ref().map(|seconds| median(seconds));
        let share = match work {
            Work::Decode => machine.share(2.0 * values, bytes, medians[0]),
            Work::Prompt(count) => machine.share(2.0 * values * *count as f64, bytes, medians[0]),
        };
        row(
            task,
            medians.map(|seconds| seconds * 1e3),
            "ms",
            Some(share),
        );
    }
    if options.starts > 0 {
        let milliseconds = |seconds: &Vec<f64>| median(seconds) * 1e3;
        row("load", loads.each_ref().map(milliseconds), "ms", None);
        let starts = starts.each_ref().map(milliseconds);
        row("start to first token", starts, "ms", None);
    }
    let peaks = programs.each_ref().map(|program| peak_memory(program.id()));
    if let [Some(here), Some(there)] = peaks {
        let megabytes = [here / MEGABYTE, there / MEGABYTE];
        row("peak memory", megabytes, "MB", None);
    }
    Ok(())
}

/// Starts the program of a side, which loads the model.
fn start(options: &Peers, model: &Path, side: usize) -> Result<Program> {
    let threads = options.threads.to_string();
    let mut command = match side {
        0 => Command::new(built("gguf_bench", &[])?),
        _ => Command::new(&options.python),
    };
    match side {
        0 => command.arg(model).arg(&options.kv_cache),
        _ => command
            .arg(script("peer_llama_cpp.py"))
            .arg(model)
            .arg(&threads),
    };
    command.env("RAYON_NUM_THREADS", &threads);
    Program::start(&mut command)
}
