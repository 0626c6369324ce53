//! `cargo xtask bench segment`: the time that a user waits for a mask.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use super::process::{measure, peak_memory};
use super::statistics::{largest, median};
use crate::cargo::{built, root};

/// First line that `/help` prints in a chat: earlier questions are then answered.
const END_OF_ANSWER: &str = "/box";
const MEGABYTE: f64 = 1e6;

/// Options of `bench segment`.
#[derive(Debug, Args)]
pub struct Segment {
    /// Picture [default: the first of assets/demo]
    #[arg(long)]
    image: Option<PathBuf>,
    /// Phrase to look for
    #[arg(long, default_value = "the largest object")]
    text: String,
    /// Model folder [default: the built-in model]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Number of processes started
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Number of threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Measures cold starts, then further references in one process.
pub fn run(options: &Segment) -> Result<()> {
    ensure!(options.runs > 0, "--runs is 0");
    let program = built("anyref", &[])?;
    let image = options
        .image
        .clone()
        .unwrap_or_else(|| root().join("assets/demo/scene1.jpg"));
    let folder = tempfile::tempdir()?;
    let command = |name: &str| {
        let mut command = Command::new(&program);
        command
            .arg(name)
            .arg("--image")
            .arg(&image)
            .env("RAYON_NUM_THREADS", options.threads.to_string());
        if let Some(model) = &options.model {
            command.arg("--model").arg(model);
        }
        command
    };

    let (mut seconds, mut peaks, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.runs {
        let measured = measure(
            command("segment")
                .args(["--text", &options.text, "--json", "--mask"])
                .arg(folder.path().join("mask.png")),
        )?;
        let answer: Value = serde_json::from_str(&measured.output)
            .context("`anyref segment --json` printed no JSON object")?;
        seconds.push(measured.seconds);
        peaks.extend(measured.peak);
        parts.push(answer);
    }
    let masks = parts[0]["masks"].as_array().map_or(0, Vec::len);
    println!(
        "anyref segment, {} processes, {} threads, {masks} masks",
        options.runs, options.threads
    );
    println!(
        "  start to mask   {:7.0} ms (slowest {:.0})",
        median(&seconds) * 1e3,
        largest(&seconds) * 1e3
    );
    match peaks.is_empty() {
        false => println!("  peak memory     {:7.0} MB", largest(&peaks) / MEGABYTE),
        true => println!("  peak memory     unknown on this system"),
    }
    for part in [
        "load", "image", "audio", "prompt", "generate", "decode", "total",
    ] {
        let values: Vec<f64> = parts
            .iter()
            .filter_map(|p| p["timing_ms"][part].as_f64())
            .collect();
        println!("  {part:<15} {:7.1} ms", median(&values));
    }

    let turns = turns(
        command("chat"),
        &format!("Can you segment {} in this image?", options.text),
    )?;
    println!("one process, several references on one picture");
    println!(
        "  first answer    {:7.0} ms from the start",
        turns.first * 1e3
    );
    println!("  second answer   {:7.0} ms", turns.second * 1e3);
    if let Some(peak) = turns.peak {
        println!("  peak memory     {:7.0} MB", peak / MEGABYTE);
    }
    Ok(())
}

struct Turns {
    first: f64,
    second: f64,
    peak: Option<f64>,
}

/// Asks the same question twice in one chat.
fn turns(mut command: Command, question: &str) -> Result<Turns> {
    let start = Instant::now();
    let mut chat = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = chat.stdin.take().context("the chat takes no input")?;
    let mut output = BufReader::new(chat.stdout.take().context("the chat prints nothing")?);
    let mut ask = || -> Result<()> {
        writeln!(input, "{question}\n/help")?;
        input.flush()?;
        let mut line = String::new();
        while !line.starts_with(END_OF_ANSWER) {
            line.clear();
            if output.read_line(&mut line)? == 0 {
                bail!("the chat ended before it answered");
            }
        }
        // The rest of the list is short and stays in the pipe.
        Ok(())
    };
    ask()?;
    let first = start.elapsed().as_secs_f64();
    let again = Instant::now();
    ask()?;
    let second = again.elapsed().as_secs_f64();
    let peak = peak_memory(chat.id());
    drop(input);
    drop(output);
    chat.wait()?;
    Ok(Turns {
        first,
        second,
        peak,
    })
}
