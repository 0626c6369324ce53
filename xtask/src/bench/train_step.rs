//! `cargo xtask bench train-step`: one instruction step against the same model in PyTorch.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::median;
use crate::cargo::{built, root};
use crate::train::keep_memory;

/// Steps that are not counted when a process starts.
const WARM_UP: usize = 1;
/// More than any run has.
const NEVER: u64 = 1_000_000_000;

/// Options of `bench train-step`.
#[derive(Debug, Args)]
pub struct TrainStep {
    /// A Python with torch
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Steps counted a round
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Rounds, in each of which both sides have their turn
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Threads of each side
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The configuration whose instruction stage is measured [default: configs/nano.json]
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Measures both sides in turn.
pub fn run(options: &TrainStep) -> Result<()> {
    ensure!(
        options.steps > 0 && options.rounds > 0,
        "give at least one step and one round"
    );
    let program = built("anyref-train", &[])?;
    let folder = tempfile::tempdir()?;
    let config = options
        .config
        .clone()
        .unwrap_or_else(|| root().join("configs/nano.json"));
    let config = instructions_on_shapes(&config)?;
    fs::write(folder.path().join("config.json"), config.to_string())?;
    let mut reference = Reference::start(options, &config)?;
    println!("reference: PyTorch {}", reference.version);

    let (mut ours, mut computing, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    reference.steps(WARM_UP)?;
    for round in 1..=options.rounds {
        let done = ours.len() + (round - 1) * WARM_UP;
        let counted = our_steps(&program, folder.path(), options, done)?;
        ours.extend(counted.iter().map(|step| step.seconds));
        computing.extend(counted.iter().map(|step| step.seconds - step.stalled));
        theirs.extend(reference.steps(options.steps)?);
        println!(
            "round {round}: ours {:.3} s, PyTorch {:.3} s",
            median(&ours),
            median(&theirs)
        );
    }
    println!("median step of {}, {} threads", ours.len(), options.threads);
    println!(
        "  ours      {:.3} s, of which waiting for data {:.3} s",
        median(&ours),
        median(&ours) - median(&computing)
    );
    println!("  PyTorch   {:.3} s, data ready", median(&theirs));
    println!("  ratio     {:.2}", median(&ours) / median(&theirs));
    Ok(())
}

/// The instruction stage alone, on the shapes, without validation.
fn instructions_on_shapes(path: &Path) -> Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut config: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is no training configuration", path.display()))?;
    let stages = config["stages"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(mut stage) = stages
        .iter()
        .find(|stage| stage["kind"] == "instruct")
        .cloned()
    else {
        bail!("{} has no stage of kind \"instruct\"", path.display());
    };
    stage["steps"] = json!(NEVER);
    config["name"] = json!("bench");
    config["shapes"] = json!(true);
    config["stages"] = json!([stage]);
    config["checkpoint_every"] = json!(NEVER);
    config["validate_every"] = json!(NEVER);
    Ok(config)
}

/// One step of ours, in seconds.
struct Step {
    seconds: f64,
    stalled: f64,
}

/// Runs the next steps in a process of their own and returns those after the warm-up.
fn our_steps(program: &Path, folder: &Path, options: &TrainStep, done: usize) -> Result<Vec<Step>> {
    let run = folder.join("run");
    let mut command = Command::new(program);
    keep_memory(&mut command);
    let output = command
        .args(["train", "--backend", "flex", "--config"])
        .arg(folder.join("config.json"))
        .arg("--run")
        .arg(&run)
        .args(["--stop-after", &(options.steps + WARM_UP).to_string()])
        .env("RAYON_NUM_THREADS", options.threads.to_string())
        .output()?;
    ensure!(
        output.status.success(),
        "anyref-train failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = fs::read_to_string(run.join("metrics.jsonl"))?;
    let steps: Vec<Step> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["kind"] == "train")
        .filter_map(|line| {
            Some(Step {
                seconds: line["seconds"].as_f64()?,
                stalled: line["stalled"].as_f64()?,
            })
        })
        .skip(done + WARM_UP)
        .collect();
    ensure!(
        steps.len() == options.steps,
        "anyref-train logged {} steps instead of {}",
        steps.len(),
        options.steps
    );
    Ok(steps)
}

/// The PyTorch side: one process that waits for its turns.
struct Reference {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    version: String,
}

impl Reference {
    /// Starts it with what differs from configuration to configuration.
    fn start(options: &TrainStep, config: &Value) -> Result<Self> {
        let script = root().join("xtask/src/bench/train_step.py");
        let mut command = Command::new(&options.python);
        command
            .arg(script)
            .args(["--threads", &options.threads.to_string()]);
        let stage = &config["stages"][0];
        let trainable = stage["trainable"].to_string();
        for (part, flag) in [
            ("vision_tower", "--train-vision"),
            ("image_encoder", "--train-sam"),
        ] {
            if trainable.contains(part) {
                command.arg(flag);
            }
        }
        if let Some(weight) = stage["name_weight"].as_f64() {
            command.args(["--name-weight", &weight.to_string()]);
        }
        let number = |value: &Value, default: u64| value.as_u64().unwrap_or(default);
        let scenes = number(&stage["batch"], 8) * number(&stage["accumulation"], 1);
        command.args(["--scenes", &scenes.to_string()]);
        let questions = number(&config["instructions"]["per_scene"], 8);
        command.args(["--questions", &questions.to_string()]);
        let mut process = command
            // Idle threads must not take the processor from the other side.
            .env("OMP_WAIT_POLICY", "passive")
            .env("OMP_NUM_THREADS", options.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", options.python.display()))?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("Python prints nothing")?;
        let mut reference = Self {
            process,
            input,
            output: BufReader::new(output),
            version: String::new(),
        };
        let about = reference.line()?;
        reference.version = format!(
            "{}, {:.1} M parameters",
            about["torch"].as_str().unwrap_or("of unknown version"),
            about["parameters"].as_f64().unwrap_or(f64::NAN) / 1e6
        );
        Ok(reference)
    }

    /// Seconds of so many steps.
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        let input = self.input.as_mut().context("Python takes no input")?;
        writeln!(input, "{count}")?;
        input.flush()?;
        let seconds = self.line()?;
        let seconds = seconds
            .as_array()
            .context("Python did not answer with a list")?;
        Ok(seconds.iter().filter_map(Value::as_f64).collect())
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the PyTorch side ended; does this Python have torch? (`pip install torch`)");
        }
        serde_json::from_str(&line).with_context(|| format!("Python printed {line:?}"))
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.input = None;
        let _ = self.process.wait();
    }
}
