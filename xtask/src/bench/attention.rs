//! `cargo xtask bench attention`: burn's own attention against the model's.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::cargo::{BACKENDS, built, run as run_command};

/// Batch, heads, queries, keys and head width of nano's picture encoder, of CLIP ViT-L/14, of SAM
/// ViT-H's windows and of its global layers, of an ImageBind clip, and of a LLaMA-7B's prefill.
const CASES: [&str; 6] = [
    "1,4,1024,1024,48,grid",
    "1,16,257,257,64",
    "25,16,196,196,80,grid",
    "1,16,4096,4096,80,grid",
    "3,12,229,229,64",
    "1,32,400,400,128,causal",
];

/// Options of `bench attention`.
#[derive(Debug, Args)]
pub struct Attention {
    /// Backend
    #[arg(long, default_value = "flex", value_parser = BACKENDS)]
    backend: String,
    /// Cases as batch,heads,queries,keys,width, optionally followed by `,causal` or `,grid` (SAM's
    /// relative positions) [default: those of the model's parts]
    #[arg(long, value_name = "SIZES")]
    case: Vec<String>,
    /// Skip burn's attention: it holds all scores at once, which does not fit into some devices'
    /// memory
    #[arg(long)]
    own: bool,
    /// Number of runs, of which the median counts
    #[arg(long, default_value_t = 5)]
    repeat: usize,
}

/// Measures every case.
pub fn run(options: &Attention) -> Result<()> {
    println!(
        "| batch x heads | queries | keys | width | | type | burn's | own | ratio | burn's error | own error |"
    );
    println!("|{}", " --: |".repeat(11));
    let backend = format!("anyref-bench/{}", options.backend);
    let mut command = Command::new(built("attention_bench", &[backend])?);
    let forms = if options.own { "own" } else { "both" };
    command.args([&options.backend, &options.repeat.to_string(), forms]);
    match options.case.is_empty() {
        true => command.args(CASES),
        false => command.args(&options.case),
    };
    run_command(&mut command)
}
