//! `anyref-train`: runs a training configuration; `cargo xtask train` calls it.

#![recursion_limit = "256"]

mod backend;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use anyref_core::BackendName;
use anyref_train::datasets::own;
use anyref_train::run::config::TrainConfig;
use anyref_train::run::launch::{Folders, open_scenes};
use clap::{Parser, Subcommand};

use backend::{Export, Planning, Training};

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
        /// Only print what would be trained, with its memory, and check the data.
        #[arg(long)]
        dry_run: bool,
    },
    /// Write the newest checkpoint as a model folder in half precision.
    Export {
        #[command(flatten)]
        run: RunArguments,
        /// The model folder.
        #[arg(long)]
        out: PathBuf,
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
        let text = std::fs::read_to_string(anyref_weights::local_path(&self.config)?)
            .with_context(|| format!("cannot read {}", self.config.display()))?;
        let config: TrainConfig = serde_json::from_str(&text)
            .with_context(|| format!("{} is no training configuration", self.config.display()))?;
        let run = self
            .run
            .clone()
            .unwrap_or_else(|| PathBuf::from("runs").join(&config.name));
        let folders = Folders {
            run,
            stamps: self.stamps.clone(),
            backgrounds: self.backgrounds.clone(),
        };
        Ok((config, folders))
    }
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Train { run, dry_run, .. } if dry_run => {
            let (config, folders) = run.open()?;
            let planning = Planning {
                config: &config,
                folders: &folders,
            };
            println!("{}", run.backend.dispatch(run.device, planning)??);
            Ok(())
        }
        Command::Train {
            run, stop_after, ..
        } => {
            let (config, folders) = run.open()?;
            let training = Training {
                config: &config,
                folders: &folders,
                stop_after,
            };
            if run.backend.dispatch(run.device, training)?? {
                println!(
                    "done: the model is in {}",
                    folders.run.join("model").display()
                );
            } else {
                println!("stopped; run the same command to go on");
            }
            Ok(())
        }
        Command::Export { run, out } => {
            let (config, folders) = run.open()?;
            let export = Export {
                config: &config,
                folders: &folders,
                out: &out,
            };
            let checkpoint = run.backend.dispatch(run.device, export)??;
            println!("{} -> {}", checkpoint.display(), out.display());
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
