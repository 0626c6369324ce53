//! `cargo xtask parity --full anyref-7b`: the paper's model, assembled from parts with random
//! weights and kept in half precision, answers one question on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::options::{Parity, remove_weights};
use crate::bench::process::measure;
use crate::cargo::{built, root};

/// Parts made by [`Parity::reference`].
const PARTS: [&str; 4] = ["clip", "sam-h", "imagebind", "llama"];
/// Tokens of the answer: an untrained model does not end it.
const ANSWER: &str = "16";

/// Makes the parts and the model, asks, and removes both.
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

    let model = options.out.join("anyref-7b");
    if model.exists() {
        fs::remove_dir_all(&model).with_context(|| model.display().to_string())?;
    }
    let mut assemble = Command::new(&program);
    assemble.args(["assemble", "--dtype", "bf16", "--clip"]);
    assemble.arg(part("clip").join("part"));
    assemble.arg("--sam").arg(part("sam-h").join("part.pth"));
    assemble
        .arg("--imagebind")
        .arg(part("imagebind").join("part.pth"));
    assemble.arg("--llm").arg(&llm).arg("--out").arg(&model);
    let assembled = measure(&mut assemble)?;
    println!(
        "assembled in {:.0} s, peak {}",
        assembled.seconds,
        gigabytes(assembled.peak)
    );
    for name in PARTS {
        remove_weights(&part(name))?;
    }
    let answered = measure(&mut question(&program, &model))?;
    fs::remove_dir_all(&model).with_context(|| model.display().to_string())?;
    let answer: Value = serde_json::from_str(&answered.output)
        .with_context(|| format!("no answer in {:?}", answered.output))?;
    let seconds = |name: &str| answer["timing_ms"][name].as_f64().map(|ms| ms / 1e3);
    for name in ["load", "image", "prompt", "generate", "decode", "total"] {
        match seconds(name) {
            Some(seconds) => println!("{name:<9} {seconds:8.2} s"),
            None => bail!("no time of `{name}` in {}", answer["timing_ms"]),
        }
    }
    println!("peak      {}", gigabytes(answered.peak));
    Ok(())
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

fn gigabytes(bytes: Option<f64>) -> String {
    bytes.map_or("unknown".into(), |bytes| format!("{:.2} GB", bytes / 1e9))
}
