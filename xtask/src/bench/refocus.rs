//! `cargo xtask bench refocus`: refocusing in the backend's own form against the composed form, and against the
//! authors' formulation in PyTorch.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::cargo::{cargo, root};

/// Objects, heads of width 128, positions and width of the states; the last two have the sizes of the 7B model.
const CASES: [&str; 6] = [
    "1,8,512,1024",
    "8,8,512,1024",
    "1,32,512,1024",
    "1,8,4096,4096",
    "1,32,512,4096",
    "1,32,4096,4096",
];

/// Options of `bench refocus`.
#[derive(Debug, Args)]
pub struct Refocus {
    /// What to run on: flex, wgpu, vulkan, metal, webgpu or cuda
    #[arg(long, default_value = "flex")]
    backend: String,
    /// Cases as objects,heads,positions,width [default: a sweep up to the sizes of the 7B model]
    #[arg(long, value_name = "SIZES")]
    case: Vec<String>,
    /// Runs of each, of which the median counts
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// A Python with torch, for the authors' formulation
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

/// Measures every case.
pub fn run(options: &Refocus) -> Result<()> {
    let cases = match options.case.is_empty() {
        true => CASES.map(str::to_owned).to_vec(),
        false => options.case.clone(),
    };
    let ours = ours(options, &cases)?;
    let [about, ours @ ..] = &ours[..] else {
        bail!("the benchmark printed nothing");
    };
    let theirs = match &options.python {
        Some(python) => theirs(python, options, &cases)?,
        None => vec![],
    };
    let copy = number(about, "copy_bytes_per_second")?;
    println!(
        "{}: copies {:.1} GB/s, read and written",
        options.backend,
        copy / 1e9
    );
    println!(
        "objects heads positions  width |   own ms  % of copy | composed ms  ratio | attention returned ms  ratio"
    );
    for (index, case) in ours.iter().enumerate() {
        let [own, composed] = [number(case, "own")?, number(case, "composed")?];
        print!(
            "{:>7} {:>5} {:>9} {:>6} | {:8.3} {:9.0} % | {:11.3} {:6.1}",
            case["objects"].to_string(),
            case["heads"].to_string(),
            case["positions"].to_string(),
            case["width"].to_string(),
            own * 1e3,
            100.0 * number(case, "bytes")? / own / copy,
            composed * 1e3,
            composed / own
        );
        match theirs.get(index) {
            Some(case) => {
                let seconds = number(case, "seconds")?;
                println!(" | {:21.3} {:6.1}", seconds * 1e3, seconds / own);
            }
            None => println!(" |"),
        }
    }
    Ok(())
}

fn ours(options: &Refocus, cases: &[String]) -> Result<Vec<Value>> {
    let mut command = cargo();
    command
        .current_dir(root())
        .args(["run", "--release", "--package", "anyref-decoder"])
        .args([
            "--example",
            "refocus_bench",
            "--features",
            &options.backend,
            "--",
        ])
        .args([&options.backend, &options.repeat.to_string()])
        .args(cases);
    lines(&mut command)
}

fn theirs(python: &Path, options: &Refocus, cases: &[String]) -> Result<Vec<Value>> {
    let mut command = Command::new(python);
    command
        .arg(root().join("xtask/src/bench/refocus.py"))
        .args([
            "--device",
            if options.backend == "cuda" {
                "cuda"
            } else {
                "cpu"
            },
        ])
        .args(["--repeat", &options.repeat.to_string()])
        .args(cases);
    let lines = lines(&mut command)?;
    ensure!(
        lines.len() == cases.len(),
        "PyTorch measured {} cases",
        lines.len()
    );
    Ok(lines)
}

/// The JSON objects that a program prints, a line each.
fn lines(command: &mut Command) -> Result<Vec<Value>> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(output.status.success(), "the benchmark failed: see above");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| {
        serde_json::from_str::<Value>(line).with_context(|| format!("unexpected output: {line}"))
    });
    lines.collect()
}

fn number(case: &Value, name: &str) -> Result<f64> {
    let number = case[name].as_f64();
    number.with_context(|| format!("the benchmark gave no {name}"))
}
