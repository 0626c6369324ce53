//! `cargo xtask bench train-step`: one instruction step against the same model in PyTorch.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::process::{measure, peak_memory};
use super::statistics::median;
use super::sweep;
use crate::cargo::{built, root, script};
use crate::train::keep_memory;

/// Steps that are not counted after the start of a process.
const WARM_UP: usize = 1;
/// More steps than any run has.
const NEVER: u64 = 1_000_000_000;

/// Options of `bench train-step`.
#[derive(Debug, Args)]
pub struct TrainStep {
    /// Python with torch
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Steps counted a round
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Rounds, in each of which both sides take a turn
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Threads of each side
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Configuration whose instruction stage is measured [default: configs/nano.json]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Measure only this side, over batches, lengths and sizes of pictures, and draw the growth
    #[arg(long)]
    sweep: bool,
    /// Output of the sweep: FILE.svg, with its numbers beside it as FILE.jsonl
    #[arg(long, default_value = "train-step.svg", value_name = "FILE.svg")]
    out: PathBuf,
}

/// Measures both sides in turn.
pub fn run(options: &TrainStep) -> Result<()> {
    ensure!(
        options.steps > 0 && options.rounds > 0,
        "give at least one step and one round"
    );
    let program = built("anyref", &[])?;
    let config = options
        .config
        .clone()
        .unwrap_or_else(|| root().join("configs/nano.json"));
    let config = instructions_on_shapes(&config)?;
    if options.sweep {
        return sweep::run(&config, &options.out, |config| {
            let folder = tempfile::tempdir()?;
            let measured = Ours::new(&program, folder.path(), config)?.steps(options)?;
            Ok(measured.into_iter().map(|step| step.seconds).collect())
        });
    }
    let folder = tempfile::tempdir()?;
    let mut own = Ours::new(&program, folder.path(), &config)?;
    ensure!(
        config["model"] == "nano",
        "PyTorch's side knows the sizes of nano alone: give a configuration of it, or --sweep"
    );
    // Trains the tokenizer, whose size the other side needs.
    own.steps(options)?;
    let mut reference = Reference::start(options, &config, own.vocabulary()?)?;
    println!("reference: PyTorch {}", reference.version);

    let (mut ours, mut computing, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    reference.steps(WARM_UP)?;
    for round in 1..=options.rounds {
        let counted = own.steps(options)?;
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
    if let (Some(ours), Some(theirs)) = (own.peak, peak_memory(reference.process.id())) {
        let megabytes = 1e-6;
        println!(
            "peak memory: ours {:.0} MB, PyTorch {:.0} MB, ratio {:.2}",
            ours * megabytes,
            theirs * megabytes,
            ours / theirs
        );
    }
    Ok(())
}

/// Configuration with the instruction stage only, on shapes, without validation.
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
    // The stage would draw prompts to vectors trained in earlier stages, which are left out.
    if let Some(stage) = stage.as_object_mut() {
        stage.remove("prompt_weight");
    }
    config["name"] = json!("bench");
    config["shapes"] = json!(true);
    config["stages"] = json!([stage]);
    config["checkpoint_every"] = json!(NEVER);
    config["validate_every"] = json!(NEVER);
    Ok(config)
}

/// One step of this side, in seconds.
struct Step {
    seconds: f64,
    stalled: f64,
}

/// Side of this project: a run that is resumed in one process for each round.
struct Ours<'a> {
    program: &'a Path,
    folder: &'a Path,
    /// Number of steps in its log.
    done: usize,
    /// Largest resident memory so far in bytes; `None` without `/proc`.
    peak: Option<f64>,
}

impl<'a> Ours<'a> {
    fn new(program: &'a Path, folder: &'a Path, config: &Value) -> Result<Self> {
        fs::write(folder.join("config.json"), config.to_string())?;
        Ok(Self {
            program,
            folder,
            done: 0,
            peak: None,
        })
    }

    /// Runs the next steps and returns those after the warm-up.
    fn steps(&mut self, options: &TrainStep) -> Result<Vec<Step>> {
        let run = self.folder.join("run");
        let steps = options.steps + WARM_UP;
        let mut command = Command::new(self.program);
        keep_memory(&mut command);
        command
            .args(["train", "--backend", "flex", "--config"])
            .arg(self.folder.join("config.json"))
            .arg("--run")
            .arg(&run)
            .args(["--stop-after", &steps.to_string()])
            .env("RAYON_NUM_THREADS", options.threads.to_string());
        let measured = measure(&mut command)?;
        self.peak = match (self.peak, measured.peak) {
            (Some(known), Some(new)) => Some(known.max(new)),
            (known, new) => known.or(new),
        };
        let text = fs::read_to_string(run.join("metrics.jsonl"))?;
        let logged: Vec<Step> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["kind"] == "train")
            .filter_map(|line| {
                Some(Step {
                    seconds: line["seconds"].as_f64()?,
                    stalled: line["stalled"].as_f64()?,
                })
            })
            .skip(self.done + WARM_UP)
            .collect();
        ensure!(
            logged.len() == options.steps,
            "anyref train logged {} steps instead of {}",
            logged.len(),
            options.steps
        );
        self.done += steps;
        Ok(logged)
    }

    /// Vocabulary size of the run's tokenizer.
    fn vocabulary(&self) -> Result<usize> {
        let file = self.folder.join("run/tokenizer.json");
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let tokenizer: Value = serde_json::from_str(&text)?;
        let ids = tokenizer["model"]["vocab"]
            .as_object()
            .into_iter()
            .flat_map(|vocabulary| vocabulary.values());
        let added = tokenizer["added_tokens"].as_array();
        let added = added.into_iter().flatten().map(|token| &token["id"]);
        let largest = ids.chain(added).filter_map(Value::as_u64).max();
        Ok(largest.with_context(|| format!("{} has no entries", file.display()))? as usize + 1)
    }
}

/// Side of PyTorch: one process that waits for its turns.
struct Reference {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    version: String,
}

impl Reference {
    /// Starts the process with the sizes of the configuration.
    fn start(options: &TrainStep, config: &Value, vocabulary: usize) -> Result<Self> {
        let script = script("train_step.py");
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
        command.args(["--vocabulary", &vocabulary.to_string()]);
        let mut process = command
            // Idle threads must not take CPU time from the other side.
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

    /// Seconds of `count` steps.
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
        // The process ends with its input.
        self.input = None;
        let _ = self.process.wait();
    }
}
