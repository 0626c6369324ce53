//! `cargo xtask bench attention`: burn's own attention on a GPU against the composed form.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::cargo::{built_example, run as run_command};

/// Batch, heads, queries, keys and width of a head of nano's encoders, of CLIP ViT-L/14, a window of SAM ViT-H's, an
/// ImageBind clip, and a LLaMA-7B's prefill.
const CASES: [&str; 5] = [
    "1,3,576,576,64",
    "1,16,257,257,64",
    "5,16,196,196,80",
    "3,12,229,229,64",
    "1,32,300,300,128,causal",
];

/// Options of `bench attention`.
#[derive(Debug, Args)]
pub struct Attention {
    /// What to run on: wgpu, vulkan, metal, webgpu or cuda
    #[arg(long, default_value = "vulkan")]
    backend: String,
    /// Cases as batch,heads,queries,keys,width, or with `,causal` after them [default: those of the model's parts]
    #[arg(long, value_name = "SIZES")]
    case: Vec<String>,
    /// Runs of each, of which the median counts
    #[arg(long, default_value_t = 5)]
    repeat: usize,
}

/// Measures every case.
pub fn run(options: &Attention) -> Result<()> {
    println!(
        "| batch x heads | queries | keys | width | | type | burn's | composed | ratio | burn's error | composed error |"
    );
    println!("|{}", " --: |".repeat(11));
    let backend = format!("anyref-weights/{}", options.backend);
    let mut command = Command::new(built_example("attention_bench", &[backend])?);
    command.args([&options.backend, &options.repeat.to_string()]);
    match options.case.is_empty() {
        true => command.args(CASES),
        false => command.args(&options.case),
    };
    run_command(&mut command)
}
