//! `cargo xtask bench peers`: models here and in the programs that people use for them, taking
//! turns in one run.

mod encoders;
mod language;
mod machine;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::statistics::median;
use machine::Machine;

/// Options of `bench peers`.
#[derive(Debug, Args)]
pub struct Peers {
    /// Model, a GGUF file, against llama.cpp; several may be given
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Model of random weights against llama.cpp: 1.1b or 7b in q8_0, q4_0 or q4_k, such as
    /// 7b-q4_k; its file is made unless it is there
    #[arg(long, value_name = "SIZE-FORMAT", value_delimiter = ',')]
    random: Vec<String>,
    /// Encoders and mask decoders of random weights against PyTorch, ONNX Runtime and OpenVINO
    #[arg(
        long,
        value_name = "PART,…",
        value_delimiter = ',',
        value_parser = clap::builder::PossibleValuesParser::new(encoders::PARTS.map(|part| part.name))
    )]
    part: Vec<String>,
    /// Folder of the files that are made [default: peers in cargo's target folder]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Python with llama-cpp-python
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Python with torch, transformers, onnxruntime, onnx, onnxscript and openvino [default: that of
    /// --python]
    #[arg(long, value_name = "PATH")]
    part_python: Option<PathBuf>,
    /// Programs that parts are compared with
    #[arg(
        long,
        value_name = "PROGRAM,…",
        value_delimiter = ',',
        default_values = encoders::PROGRAMS,
        value_parser = encoders::PROGRAMS
    )]
    program: Vec<String>,
    /// Threads of each program
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Runs of each task, of which the median counts
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Tokens of the prompts
    #[arg(long, value_delimiter = ',', default_values_t = [32, 400], value_name = "COUNT")]
    prompt: Vec<usize>,
    /// Tokens decoded in a run
    #[arg(long, default_value_t = 32, value_name = "COUNT")]
    decode: usize,
    /// Starts of both programs, each with a prompt of 32 tokens
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    starts: usize,
    /// Type of keys and values here; llama.cpp has f16
    #[arg(long, default_value = "f32", value_parser = ["f32", "f16", "bf16", "q8_0"], value_name = "TYPE")]
    kv_cache: String,
}

/// Measures all programs in turns.
pub fn run(options: &Peers) -> Result<()> {
    ensure!(
        !(options.model.is_empty() && options.random.is_empty() && options.part.is_empty()),
        "nothing to measure: give --model, --random or --part"
    );
    ensure!(options.repeat > 0, "--repeat is 0");
    let machine = Machine::measured(options.threads)?;
    println!("{machine}");
    let random = options.random.iter();
    let random = random.map(|name| language::random(name, &options.folder()?));
    let random = random.collect::<Result<Vec<_>>>()?;
    for model in options.model.iter().chain(&random) {
        language::run(options, model, &machine)?;
    }
    for part in &options.part {
        encoders::run(options, part, &machine)?;
    }
    Ok(())
}

impl Peers {
    /// Folder of the files that are made.
    fn folder(&self) -> Result<PathBuf> {
        let default = || crate::cargo::target().join("peers");
        let folder = self.folder.clone().unwrap_or_else(default);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
