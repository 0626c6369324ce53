//! `anyref-train`: runs a training configuration; `cargo xtask train` calls it.

#![recursion_limit = "256"]

mod backend;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use anyref_core::BackendName;
use anyref_train::ablation::AblationConfig;
use anyref_train::datasets::own;
use anyref_train::failure;
use anyref_train::run::config::TrainConfig;
use anyref_train::run::export::Which;
use anyref_train::run::launch::{Folders, open_scenes};
use anyref_train::run::nodes::Nodes;
use clap::{Parser, Subcommand};
use serde::de::DeserializeOwned;

use backend::{Ablation, Export, Pictures, Planning, Training};

/// Tensors come and go by the megabyte, which costs the system's allocator a page fault each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains AnyRef.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train from a configuration; run it again to resume.
    Train {
        #[command(flatten)]
        run: RunArguments,
        /// Stop after so many steps, to be resumed later.
        #[arg(long)]
        stop_after: Option<u64>,
        /// Numbers of the devices that learn together, as in 0,1: each takes micro-batches of its own, and their
        /// gradients are averaged.
        #[arg(long, value_delimiter = ',', conflicts_with = "device")]
        devices: Vec<usize>,
        #[command(flatten)]
        nodes: NodeArguments,
        /// Only print what would be trained, with its memory, and check the data.
        #[arg(long)]
        dry_run: bool,
    },
    /// Write the newest checkpoint, or the best, as a model folder in half precision.
    Export {
        #[command(flatten)]
        run: RunArguments,
        /// The model folder.
        #[arg(long)]
        out: PathBuf,
        /// Write what was trained alone, as an adapter folder in PEFT's format, which `anyref assemble --adapter` takes.
        #[arg(long)]
        adapter: bool,
        /// Take the checkpoint with the highest validation score, of the last stage that was validated.
        #[arg(long)]
        best: bool,
    },
    /// Train and evaluate variants of a configuration with several seeds; run it again to go on.
    Ablate {
        #[command(flatten)]
        run: RunArguments,
    },
    /// Draw validation pictures: what is asked for, and what the newest checkpoint points at.
    Pictures {
        #[command(flatten)]
        run: RunArguments,
        /// The picture (PNG).
        #[arg(long)]
        out: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 12)]
        count: usize,
    },
    /// Write the scenes, references and questions of the demonstration.
    DemoScenes {
        #[command(flatten)]
        run: RunArguments,
        /// The folder to write.
        #[arg(long)]
        out: PathBuf,
        /// How many scenes.
        #[arg(long, default_value_t = 5)]
        scenes: usize,
    },
    /// Check a data set of your own, line by line (see docs/your-data.md).
    CheckData {
        /// The file, one JSON object a line.
        file: PathBuf,
    },
}

/// Several machines that learn together: the same command on each, but for --node.
#[derive(Debug, clap::Args)]
struct NodeArguments {
    /// Addresses of machines that learn together, in the same order on each; every one listens at its port.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "HOST:PORT,…",
        requires = "node"
    )]
    nodes: Vec<String>,
    /// Which of them this is, from 0; number 0 logs and writes the checkpoints, and the run's folder of all is its.
    #[arg(long, value_name = "K", requires = "nodes")]
    node: Option<usize>,
}

impl NodeArguments {
    fn nodes(self) -> Result<Option<Nodes>> {
        let Some(rank) = self.node else {
            return Ok(None);
        };
        let addresses = self.nodes;
        let nodes = Nodes { addresses, rank };
        nodes.check()?;
        Ok(Some(nodes))
    }
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Configuration (JSON).
    #[arg(long)]
    config: PathBuf,
    /// Folder of the run; `runs/NAME` by default.
    #[arg(long)]
    run: Option<PathBuf>,
    /// Unpacked tuxpaint-stamps-default, as `cargo xtask data stamps` leaves it.
    #[arg(long, default_value = "data/stamps")]
    stamps: PathBuf,
    /// Unpacked tuxpaint-data, for photographic backgrounds.
    #[arg(long)]
    backgrounds: Option<PathBuf>,
    /// What computes: flex (the processor), wgpu, vulkan, metal, webgpu or cuda, as far as compiled in.
    #[arg(long, default_value_t)]
    backend: BackendName,
    /// Number of the device; the backend's own choice by default.
    #[arg(long)]
    device: Option<usize>,
}

impl RunArguments {
    fn open(&self) -> Result<(TrainConfig, Folders)> {
        let config: TrainConfig = self.read("training configuration")?;
        let folders = self.folders(&config.name);
        Ok((config, folders))
    }

    fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T> {
        let text = std::fs::read_to_string(anyref_weights::local_path(&self.config)?)
            .with_context(|| format!("cannot read {}", self.config.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no {what}", self.config.display()))
    }

    fn folders(&self, name: &str) -> Folders {
        let usual = || PathBuf::from("runs").join(name);
        Folders {
            run: self.run.clone().unwrap_or_else(usual),
            stamps: self.stamps.clone(),
            backgrounds: self.backgrounds.clone(),
        }
    }
}

fn main() -> ExitCode {
    anyref_weights::end_without_room();
    failure::report(run(Arguments::parse().command))
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Train { run, dry_run, .. } if dry_run => {
            let (config, folders) = run.open()?;
            let planning = Planning {
                config: &config,
                folders: &folders,
            };
            let plan = run.backend.dispatch(run.device, planning)??;
            println!("{plan}");
            match plan.lacking.len() {
                0 => Ok(()),
                1 => bail!("the run cannot start: {}", plan.lacking[0]),
                count => {
                    for lacking in &plan.lacking {
                        eprintln!("{lacking}");
                    }
                    bail!("the run cannot start for want of these {count}")
                }
            }
        }
        Command::Train {
            run,
            stop_after,
            devices,
            nodes,
            ..
        } => {
            let nodes = nodes.nodes()?;
            let (config, folders) = run.open()?;
            let devices = match run.device {
                Some(number) => vec![number],
                None => devices,
            };
            let training = Training {
                config: &config,
                folders: &folders,
                stop_after,
                nodes: nodes.as_ref(),
            };
            if run.backend.dispatch_team(&devices, training)?? {
                let of = if nodes.is_some() { ", of node 0" } else { "" };
                println!(
                    "done: the model is in {}{of}",
                    folders.run.join("model").display()
                );
            } else {
                println!("stopped; run the same command to go on");
            }
            Ok(())
        }
        Command::Export {
            run,
            out,
            adapter,
            best,
        } => {
            let (config, folders) = run.open()?;
            let export = Export {
                config: &config,
                folders: &folders,
                which: if best { Which::Best } else { Which::Newest },
                out: &out,
                adapter,
            };
            let checkpoint = run.backend.dispatch(run.device, export)??;
            println!("{} -> {}", checkpoint.display(), out.display());
            Ok(())
        }
        Command::Ablate { run } => {
            let config: AblationConfig = run.read("ablation")?;
            let folders = run.folders(&config.name);
            let ablation = Ablation {
                config: &config,
                folders: &folders,
            };
            println!("{}", run.backend.dispatch(run.device, ablation)??);
            println!("written to {}", folders.run.join("table.md").display());
            Ok(())
        }
        Command::Pictures { run, out, count } => {
            let (config, folders) = run.open()?;
            let pictures = Pictures {
                config: &config,
                folders: &folders,
                count,
                out: &out,
            };
            run.backend.dispatch(run.device, pictures)??;
            println!("{}", out.display());
            Ok(())
        }
        Command::DemoScenes { run, out, scenes } => {
            let (config, folders) = run.open()?;
            let data = open_scenes(&config, &folders)?;
            let demo = anyref_train::data::demo::write(&data, &config.instructions, scenes, &out)?;
            println!("{} scenes -> {}", demo.scenes.len(), out.display());
            Ok(())
        }
        Command::CheckData { file } => {
            let (good, problems) = own::problems(&file)?;
            for problem in &problems {
                println!("{problem}");
            }
            println!("{}: {good} good lines", file.display());
            match problems.len() {
                0 if good == 0 => bail!("{} has no lines", file.display()),
                0 => Ok(()),
                count => bail!("{count} bad lines; they are named above"),
            }
        }
    }
}
