//! `cargo xtask bench refocus`: refocusing in the backend's own form against the composed form, and
//! against the authors' formulation in PyTorch, taking turns in one run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Args;

use super::program::{Program, number};
use super::statistics::median;
use crate::cargo::{BACKENDS, built};

/// Options of `bench refocus`. Every number of objects is measured with every number of heads,
/// positions and widths.
#[derive(Debug, Args)]
pub struct Refocus {
    /// Backend
    #[arg(long, default_value = "flex", value_parser = BACKENDS)]
    backend: String,
    /// Numbers of objects, each in a row of its own
    #[arg(long, value_delimiter = ',', default_value = "1,8", value_name = "N,…")]
    objects: Vec<usize>,
    /// Numbers of heads, 128 wide
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "8,32",
        value_name = "N,…"
    )]
    heads: Vec<usize>,
    /// Positions of the context, of which the second half is the span
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "512,4096",
        value_name = "N,…"
    )]
    positions: Vec<usize>,
    /// Widths of the hidden states
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1024,4096",
        value_name = "N,…"
    )]
    width: Vec<usize>,
    /// Number of runs, of which the median counts
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Data type of values: f32, f16 or bf16
    #[arg(long, default_value = "f32", value_parser = ["f32", "f16", "bf16"])]
    dtype: String,
    /// Python with torch, for the authors' formulation
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Layers that return their attention in the authors' formulation, which requests it from all
    /// layers of a model
    #[arg(long, default_value_t = 1, value_name = "N")]
    layers: usize,
    /// Skip the authors' formulation if its matrices take more than this many gigabytes
    #[arg(long, default_value_t = 5.0, value_name = "GB")]
    most: f64,
}

/// Measures every case.
pub fn run(options: &Refocus) -> Result<()> {
    let backend = format!("anyref-bench/{}", options.backend);
    let program = built("refocus_bench", &[backend])?;
    println!(
        "| objects | heads | positions | width | own | of copy bandwidth | memory | composed | ratio | memory | attention returned | ratio | memory |"
    );
    println!("|{}", " --: |".repeat(13));
    let mut copies = Vec::new();
    for &objects in &options.objects {
        for &heads in &options.heads {
            for &positions in &options.positions {
                for &width in &options.width {
                    copies.push(case(&program, options, [objects, heads, positions, width])?);
                }
            }
        }
    }
    println!(
        "\n{}: a copy reads and writes {:.1} GB/s (median of {} cases)",
        options.backend,
        median(&copies) / 1e9,
        copies.len()
    );
    Ok(())
}

/// Measures one case, prints its line and returns the bandwidth of a copy.
fn case(program: &Path, options: &Refocus, sizes: [usize; 4]) -> Result<f64> {
    let [objects, heads, positions, _] = sizes;
    let name = sizes.map(|size| size.to_string()).join(",");
    let mut ours =
        Program::start(Command::new(program).args([&options.backend, &options.dtype, &name]))?;
    // While a layer computes, it holds its matrix twice, and for half precision once more in f32,
    // for the softmax.
    let bytes = match options.dtype.as_str() {
        "f32" => 4 * (options.layers + 1),
        _ => 2 * options.layers + 6,
    };
    let matrices = bytes * objects * heads * positions * positions;
    let mut theirs = match &options.python {
        Some(python) if matrices as f64 <= options.most * 1e9 => {
            let layers = options.layers.to_string();
            let mut authors = super::python::script(python, "refocus.py", &options.backend);
            Some(Program::start(authors.args([
                "--layers",
                &layers,
                "--dtype",
                &options.dtype,
                &name,
            ]))?)
        }
        _ => None,
    };
    let (mut own, mut composed, mut returned) = (vec![], vec![], vec![]);
    for _ in 0..options.repeat.max(1) {
        own.push(ours.ask("own")?);
        composed.push(ours.ask("composed")?);
        if let Some(theirs) = &mut theirs {
            returned.push(theirs.ask("run")?);
        }
    }
    let (own, composed) = (median(&own), median(&composed));
    let copy = number(&ours.about, "copy_bytes_per_second")?;
    let memory = |program: &Program, name: &str| match program.about[name].as_f64() {
        Some(bytes) => format!("{:.1} MB", bytes / 1e6),
        None => "–".into(),
    };
    print!("|");
    for size in sizes {
        print!(" {size} |");
    }
    print!(
        " {:.2} ms | {:.0} % | {} | {:.2} ms | {:.1} | {} |",
        own * 1e3,
        100.0 * number(&ours.about, "bytes")? / own / copy,
        memory(&ours, "own_memory"),
        composed * 1e3,
        composed / own,
        memory(&ours, "composed_memory")
    );
    match &theirs {
        Some(theirs) => println!(
            " {:.2} ms | {:.1} | {} |",
            median(&returned) * 1e3,
            median(&returned) / own,
            memory(theirs, "memory")
        ),
        None => println!(" – | – | – |"),
    }
    Ok(copy)
}
