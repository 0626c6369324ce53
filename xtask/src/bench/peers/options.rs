//! Options of `bench peers`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::parts;

/// Options of `bench peers`.
#[derive(Debug, Args)]
pub struct Peers {
    /// Model, a GGUF file, against llama.cpp; several may be given
    #[arg(long, value_name = "FILE")]
    pub(super) model: Vec<PathBuf>,
    /// Model of random weights against llama.cpp: 1.1b or 7b in q8_0, q4_0 or q4_k, such as
    /// 7b-q4_k; its file is made unless it is there
    #[arg(long, value_name = "SIZE-FORMAT", value_delimiter = ',')]
    pub(super) random: Vec<String>,
    /// Encoders and mask decoders of random weights against PyTorch, ONNX Runtime, OpenVINO and
    /// candle
    #[arg(
        long,
        value_name = "PART,…",
        value_delimiter = ',',
        value_parser = clap::builder::PossibleValuesParser::new(parts::PARTS.map(|part| part.name))
    )]
    pub(super) part: Vec<String>,
    /// Folder of the files that are made [default: peers in cargo's target folder]
    #[arg(long, value_name = "FOLDER")]
    pub(super) folder: Option<PathBuf>,
    /// Python with llama-cpp-python
    #[arg(long, default_value = "python3", value_name = "PATH")]
    pub(super) python: PathBuf,
    /// Python with torch, transformers, onnxruntime, onnx, onnxscript and openvino [default: that
    /// of --python]
    #[arg(long, value_name = "PATH")]
    pub(super) part_python: Option<PathBuf>,
    /// Programs that parts are compared with; candle, which has clip, sam-b and sam-h in f32, has
    /// to be asked for, since it is compiled first, which takes minutes
    #[arg(
        long,
        value_name = "PROGRAM,…",
        value_delimiter = ',',
        default_values = parts::DEFAULT_PROGRAMS,
        value_parser = parts::PROGRAMS
    )]
    pub(super) program: Vec<String>,
    /// Threads of each program
    #[arg(long, default_value_t = 2)]
    pub(super) threads: usize,
    /// Runs of each task, of which the median counts
    #[arg(long, default_value_t = 7)]
    pub(super) repeat: usize,
    /// Tokens of the prompts
    #[arg(long, value_delimiter = ',', default_values_t = [32, 400], value_name = "COUNT")]
    pub(super) prompt: Vec<usize>,
    /// Tokens decoded in a run
    #[arg(long, default_value_t = 32, value_name = "COUNT")]
    pub(super) decode: usize,
    /// Starts of both programs, each with a prompt of 32 tokens
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    pub(super) starts: usize,
    /// Type of keys and values here; llama.cpp has f16
    #[arg(long, default_value = "f32", value_parser = ["f32", "f16", "bf16", "q8_0"], value_name = "TYPE")]
    pub(super) kv_cache: String,
}

impl Peers {
    /// Folder of the files that are made.
    pub(super) fn folder(&self) -> Result<PathBuf> {
        let default = || crate::cargo::target().join("peers");
        let folder = self.folder.clone().unwrap_or_else(default);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
