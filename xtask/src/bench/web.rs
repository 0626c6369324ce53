//! `cargo xtask bench web`: the page in the browser alone against the same session outside of it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use super::program::{Program, number};
use super::statistics::{largest, median};
use crate::cargo::{built, root};

/// Pictures, each of which is new in its turn.
const PICTURES: [&str; 5] = ["1", "2", "3", "4", "5"];

/// Options of `bench web`.
#[derive(Debug, Args)]
pub struct Web {
    /// Folder that `cargo xtask web` wrote
    #[arg(long, default_value = "out/web", value_name = "DIR")]
    web: PathBuf,
    /// Chromium [default: $CHROMIUM, or /usr/bin/chromium]
    #[arg(long, value_name = "PROGRAM")]
    chromium: Option<PathBuf>,
    /// Measurements of each kind
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// Arguments of Chromium, such as those for WebGPU
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Asks both in turns: each is the first of every other turn.
pub fn run(options: &Web) -> Result<()> {
    ensure!(options.runs > 0, "--runs is 0");
    let folder = std::path::absolute(&options.web)?;
    ensure!(
        folder.join("files.json").is_file(),
        "{} holds no page: write it by `cargo xtask web`, or name it by --web",
        folder.display()
    );
    let pictures = PICTURES.map(|name| root().join(format!("assets/demo/scene{name}.jpg")));
    let mut native = Command::new(built("web_bench", &[])?);
    native.arg(root().join("assets/nano")).args(&pictures);
    native.env("RAYON_NUM_THREADS", "1");
    let mut browser = Command::new("node");
    browser.arg(root().join("anyref-bench/web/browser.mjs"));
    browser.arg(&folder).args(&pictures).arg("--");
    browser.args(&options.arguments);
    if let Some(chromium) = &options.chromium {
        browser.env("CHROMIUM", chromium);
    }
    let mut native = Program::start(&mut native)?;
    let mut browser = Program::start(&mut browser)?;

    let mut seconds = [const { Vec::new() }; 4];
    // One of each ahead, which fills caches and compiles what runs often.
    for turn in 0..=options.runs {
        let picture = turn % PICTURES.len();
        for (kind, what) in ["first", "next"].into_iter().enumerate() {
            let asked = format!("{what} {picture}");
            let both = match turn % 2 {
                0 => {
                    let native = native.ask(&asked)?;
                    [native, browser.ask(&asked)?]
                }
                _ => {
                    let browser = browser.ask(&asked)?;
                    [native.ask(&asked)?, browser]
                }
            };
            if turn > 0 {
                seconds[2 * kind].push(both[0]);
                seconds[2 * kind + 1].push(both[1]);
            }
        }
    }
    let form = match browser.about["form"].as_str() {
        Some("webgpu") => "WebGPU",
        _ => "the processor",
    };
    let version = browser.about["browser"]
        .as_str()
        .unwrap_or("of unknown version");
    println!(
        "nano on {form} in Chromium {version} against one thread outside, {} in turns, medians",
        options.runs
    );
    let names = [
        "first answer on a new picture",
        "next answer on the same one",
    ];
    for (name, both) in names.into_iter().zip(seconds.chunks_exact(2)) {
        let [native, browser] = [median(&both[0]), median(&both[1])];
        println!(
            "  {name:30} {:7.1} ms, outside {:7.1} ms: {:.2} times",
            browser * 1e3,
            native * 1e3,
            browser / native
        );
    }
    let mut loads =
        |what: &str| -> Result<Vec<f64>> { (0..options.runs).map(|_| browser.ask(what)).collect() };
    let (page, model) = (loads("page")?, loads("model")?);
    for (name, times) in [("page can be used", page), ("model is ready", model)] {
        println!(
            "  {name:30} {:7.1} ms (slowest {:.1})",
            median(&times) * 1e3,
            largest(&times) * 1e3
        );
    }
    let ready = number(&native.about, "ready")? * 1e3;
    println!("  {:30} {ready:7.1} ms", "model is loaded outside");
    Ok(())
}
