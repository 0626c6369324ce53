//! `cargo xtask parity --full anyref-7b`: the paper's model, assembled from parts with random
//! weights, answers one question on this machine: in half precision, and with a language model of
//! four bits beside encoders of half precision and of eight bits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::options::{Parity, remove_weights};
use crate::bench::process::{Measured, measure};
use crate::bench::statistics::{largest, median};
use crate::cargo::{built, root};

/// Parts made by [`Parity::reference`].
const PARTS: [&str; 4] = ["clip", "sam-h", "imagebind", "llama"];
/// Tokens of the answer: an untrained model does not end it.
const ANSWER: &str = "16";
/// Options of `assemble`, beside the parts, for each folder.
const FOLDERS: [(&str, &[&str]); 2] = [
    ("bf16", &["--dtype", "bf16"]),
    ("q4_k", &["--dtype", "bf16", "--quantize", "q4_k"]),
];
/// Forms of the model: a name, a folder, and options of the question.
const FORMS: [(&str, &str, &[&str]); 3] = [
    ("bf16", "bf16", &[]),
    ("q4_k, encoders bf16", "q4_k", &[]),
    (
        "q4_k, encoders int8",
        "q4_k",
        &["--quantize-vision", "int8", "--quantize-audio", "int8"],
    ),
];
/// Times of an answer, in its JSON.
const TIMES: [&str; 6] = ["load", "image", "prompt", "generate", "decode", "total"];

/// Answers of one form.
#[derive(Default)]
struct Answers {
    /// Seconds from the start of the process to its end.
    processes: Vec<f64>,
    /// Largest memory of each process, in bytes.
    peaks: Vec<f64>,
    /// Seconds of each of [`TIMES`].
    times: [Vec<f64>; TIMES.len()],
}

/// Makes the parts and the models, asks each some times, one after another, and removes all.
pub fn run(options: &Parity) -> Result<()> {
    let program = built("anyref", &[])?;
    let part = |part: &str| options.out.join(format!("{part}-full"));
    for name in PARTS {
        measure(options.reference("make", name).arg(part(name)))?;
    }
    // LLaMA's tokenizer cannot be generated randomly; a smaller vocabulary fits.
    let tokenizer = root().join("assets/nano/tokenizer.json");
    let llm = part("llama").join("part");
    fs::copy(&tokenizer, llm.join("tokenizer.json"))
        .with_context(|| tokenizer.display().to_string())?;
    for (name, format) in FOLDERS {
        let model = folder(options, name);
        if model.exists() {
            fs::remove_dir_all(&model).with_context(|| model.display().to_string())?;
        }
        let mut assemble = Command::new(&program);
        assemble.arg("assemble").args(format).arg("--clip");
        assemble.arg(part("clip").join("part"));
        assemble.arg("--sam").arg(part("sam-h").join("part.pth"));
        assemble.arg("--imagebind");
        assemble.arg(part("imagebind").join("part.pth"));
        assemble.arg("--llm").arg(&llm).arg("--out").arg(&model);
        let assembled = measure(&mut assemble)?;
        println!(
            "{name}: assembled in {:.0} s, {} of memory, {} of files",
            assembled.seconds,
            gigabytes(assembled.peak),
            gigabytes(Some(bytes(&model)? as f64))
        );
    }
    for name in PARTS {
        remove_weights(&part(name))?;
    }

    let mut answers: [Answers; FORMS.len()] = Default::default();
    let times = options.rounds.max(1) * options.times.max(1);
    for ((_, model, format), answers) in FORMS.iter().zip(&mut answers) {
        let model = folder(options, model);
        let ask = || measure(question(&program, &model).args(*format));
        // Reads the files, which only one of the models leaves room for beside itself.
        ask()?;
        for _ in 0..times {
            answers.add(ask()?)?;
        }
    }
    for (name, _) in FOLDERS {
        let model = folder(options, name);
        fs::remove_dir_all(&model).with_context(|| model.display().to_string())?;
    }
    let titles = TIMES.map(|name| format!("{name}, s | "));
    println!(
        "| form | {}process, s | of the first | peak | of the first |",
        titles.concat()
    );
    println!("| --- {}|", "| --: ".repeat(TIMES.len() + 4));
    for ((name, _, _), own) in FORMS.iter().zip(&answers) {
        println!("| {name} | {}", own.row(&answers[0]));
    }
    Ok(())
}

/// Folder of an assembled model.
fn folder(options: &Parity, name: &str) -> PathBuf {
    options.out.join(format!("anyref-7b-{name}"))
}

/// One question about a bundled picture.
fn question(program: &Path, model: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["segment", "--json", "--text", "the gorilla", "--image"]);
    command.arg(root().join("assets/demo/scene1.jpg"));
    command
        .args(["--max-new-tokens", ANSWER, "--model"])
        .arg(model);
    command
}

impl Answers {
    /// Adds the output of a process.
    fn add(&mut self, answered: Measured) -> Result<()> {
        let answer: Value = serde_json::from_str(&answered.output)
            .with_context(|| format!("no answer in {:?}", answered.output))?;
        for (name, times) in TIMES.iter().zip(&mut self.times) {
            let time = answer["timing_ms"][name].as_f64();
            times.push(time.with_context(|| format!("no time of `{name}` in {answer}"))? / 1e3);
        }
        self.processes.push(answered.seconds);
        self.peaks.extend(answered.peak);
        Ok(())
    }

    /// Cells of medians, and of the process's time and memory relative to those of `first`.
    fn row(&self, first: &Self) -> String {
        let times = self.times.each_ref();
        let times = times.map(|times| format!("{:.2} | ", median(times)));
        let process = median(&self.processes);
        let peak = (!self.peaks.is_empty()).then(|| largest(&self.peaks));
        let shrunk = peak.map_or("?".into(), |peak| {
            format!("{:.2}", peak / largest(&first.peaks))
        });
        format!(
            "{}{process:.2} | {:.2} | {} | {shrunk} |",
            times.concat(),
            process / median(&first.processes),
            gigabytes(peak)
        )
    }
}

/// Bytes of the files of a folder.
fn bytes(folder: &Path) -> Result<u64> {
    let files = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    files
        .map(|file| Ok(file?.metadata()?.len()))
        .sum::<Result<u64>>()
}

fn gigabytes(bytes: Option<f64>) -> String {
    bytes.map_or("unknown".into(), |bytes| format!("{:.2} GB", bytes / 1e9))
}
