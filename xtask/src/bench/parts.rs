//! `cargo xtask bench parts`: a whole model with random weights, part by part, against the same
//! modules in PyTorch, taking turns in one run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Args;

use super::program::Program;
use super::statistics::median;
use crate::cargo::{BACKENDS, built};

/// Work that both sides are asked for, with its name.
const PARTS: [(&str, &str); 9] = [
    ("clip", "CLIP and its projector, one picture"),
    ("sam", "SAM's image encoder, one picture"),
    ("imagebind", "ImageBind's audio encoder, one sound"),
    ("prompt", "LLaMA, a prompt of 400 tokens"),
    ("long-prompt", "LLaMA, a prompt of 2000 tokens"),
    ("answer", "LLaMA, the prompt and 32 tokens"),
    ("mask", "mask decoder, one object"),
    ("object-masks", "mask decoder, 16 objects"),
    (
        "all",
        "CLIP, SAM, the prompt and 32 tokens, one mask: an answer",
    ),
];
/// Tokens that `answer` generates beyond those of `prompt`.
const TOKENS: f64 = 31.0;

/// Options of `bench parts`.
#[derive(Debug, Args)]
pub struct Parts {
    /// Backend
    #[arg(long, default_value = "cuda", value_parser = BACKENDS)]
    backend: String,
    /// Model: anyref-7b or nano
    #[arg(long, default_value = "anyref-7b")]
    preset: String,
    /// Data type of weights and values: f32, f16 or bf16
    #[arg(long, default_value = "bf16")]
    dtype: String,
    /// Number of runs, of which the median counts
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Runs that are not counted: kernels are compiled and tuned in the first
    #[arg(long, default_value_t = 2)]
    warm_up: usize,
    /// Measure only these parts
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "PART,…",
        value_parser = clap::builder::PossibleValuesParser::new(PARTS.map(|(part, _)| part))
    )]
    only: Vec<String>,
    /// Python with torch and transformers, for the other side, which has anyref-7b's sizes
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

/// Side of the comparison: its program, until it fails.
struct Side(Option<Program>);

impl Side {
    /// Seconds of a run of a part, after `warm_up` runs that are not counted.
    fn run(&mut self, part: &str, warm_up: usize) -> Option<f64> {
        let program = self.0.as_mut()?;
        let mut last = None;
        for _ in 0..=warm_up {
            match program.ask(part) {
                Ok(seconds) => last = Some(seconds),
                Err(error) => {
                    eprintln!("{part}: {error:#}");
                    self.0 = None;
                    return None;
                }
            }
        }
        last
    }
}

/// Measures every part.
pub fn run(options: &Parts) -> Result<()> {
    let backend = format!("anyref-bench/{}", options.backend);
    let program = built("parts_bench", &[backend])?;
    let arguments = [&options.backend, &options.preset, &options.dtype];
    let ours = Program::start(Command::new(&program).args(arguments))?;
    println!("ours: {}", ours.about);
    let theirs = match &options.python {
        Some(python) => Some(Program::start(&mut reference(python, options))?),
        None => None,
    };
    if let Some(theirs) = &theirs {
        println!("PyTorch: {}", theirs.about);
    }
    let identities = [Some(ours.id()), theirs.as_ref().map(Program::id)];
    let mut sides = [Side(Some(ours)), Side(theirs)];
    let mut found = Vec::new();
    println!("\n| part | ours | PyTorch | ratio |\n| --- | --: | --: | --: |");
    for (part, title) in PARTS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == part) {
            continue;
        }
        let mut seconds = [vec![], vec![]];
        for run in 0..options.repeat.max(1) {
            let warm_up = if run == 0 { options.warm_up } else { 0 };
            for (side, seconds) in sides.iter_mut().zip(&mut seconds) {
                seconds.extend(side.run(part, warm_up));
            }
        }
        let medians = seconds.map(|seconds| median(&seconds));
        print_line(title, medians);
        found.push((part, medians));
    }
    let of = |name: &str| found.iter().find(|(part, _)| *part == name);
    if let (Some((_, prompt)), Some((_, answer))) = (of("prompt"), of("answer")) {
        let token = |side: usize| (answer[side] - prompt[side]) / TOKENS;
        print_line("a further token", [token(0), token(1)]);
        println!(
            "\ntokens a second: ours {:.1}, PyTorch {:.1}",
            1.0 / token(0),
            1.0 / token(1)
        );
    }
    if let [Some(ours), theirs] = identities.map(|id| id.and_then(device_memory)) {
        let theirs = theirs.map_or("–".into(), |bytes| format!("{:.1} GB", bytes / 1e9));
        println!(
            "memory of the device: ours {:.1} GB, PyTorch {theirs}",
            ours / 1e9
        );
    }
    Ok(())
}

fn print_line(title: &str, [ours, theirs]: [f64; 2]) {
    let shown = |seconds: f64| match seconds.is_nan() {
        true => "–".into(),
        false => format!("{:.2} ms", seconds * 1e3),
    };
    let ratio = match (ours / theirs).is_nan() {
        true => "–".into(),
        false => format!("{:.2}", ours / theirs),
    };
    println!(
        "| {title} | {} | {} | {ratio} |",
        shown(ours),
        shown(theirs)
    );
}

fn reference(python: &Path, options: &Parts) -> Command {
    let mut command = super::python::script(python, "parts.py", &options.backend);
    command.args(["--dtype", &options.dtype, "--preset", &options.preset]);
    command
}

/// GPU memory of a process in bytes, if Nvidia's tool reports it.
fn device_memory(id: u32) -> Option<f64> {
    let mut command = Command::new("nvidia-smi");
    command.args([
        "--query-compute-apps=pid,used_memory",
        "--format=csv,noheader,nounits",
    ]);
    let output = String::from_utf8(command.output().ok()?.stdout).ok()?;
    of_process(&output, id)
}

/// GPU memory of a process in bytes, from the tool's lines in mebibytes.
fn of_process(lines: &str, id: u32) -> Option<f64> {
    let line = lines.lines().find_map(|line| {
        let (process, megabytes) = line.split_once(',')?;
        (process.trim().parse::<u32>().ok()? == id).then_some(megabytes)
    })?;
    let megabytes: f64 = line.trim().parse().ok()?;
    Some(megabytes * 1024.0 * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_process() {
        let lines = "12, 300\n345, 17000\n";
        assert_eq!(of_process(lines, 345), Some(17000.0 * 1024.0 * 1024.0));
        assert_eq!(of_process(lines, 34), None);
        assert_eq!(of_process("345, [N/A]\n", 345), None);
    }
}
