//! Options of the training commands.

use std::path::PathBuf;

use anyhow::{Context, Result};
use anyref_train::config::TrainConfig;
use anyref_train::run::{Folders, Topology};
use clap::Subcommand;
use serde::de::DeserializeOwned;

/// Commands of the feature `train`.
#[derive(Debug, Subcommand)]
pub enum TrainCommand {
    /// Train from a configuration; run it again to resume.
    Train {
        #[command(flatten)]
        run: RunArguments,
        /// Stop after N steps, to be resumed later.
        #[arg(long)]
        stop_after: Option<u64>,
        /// Train on several devices, as in 0,1: each takes its own micro-batches, and their
        /// gradients are averaged.
        #[arg(long, value_delimiter = ',')]
        devices: Vec<usize>,
        #[command(flatten)]
        nodes: NodeArguments,
        /// Print a plan with the memory of each stage and check the data, without training.
        #[arg(long)]
        dry_run: bool,
    },
    /// Export the newest checkpoint, or the best, as a model folder in half precision.
    Export {
        #[command(flatten)]
        run: RunArguments,
        /// Model folder to write.
        #[arg(long)]
        out: PathBuf,
        /// Write only the trained weights, as an adapter folder in PEFT's format, for
        /// `anyref assemble --adapter`.
        #[arg(long)]
        adapter: bool,
        /// Take the checkpoint with the highest validation score, of the last stage that was
        /// validated.
        #[arg(long)]
        best: bool,
    },
    /// Train and evaluate variants of a configuration with several seeds; run it again to resume.
    Ablate {
        #[command(flatten)]
        run: RunArguments,
    },
    /// Draw validation pictures: true masks, and those of the newest checkpoint.
    Pictures {
        #[command(flatten)]
        run: RunArguments,
        /// Picture to write (PNG).
        #[arg(long)]
        out: PathBuf,
        /// Number of pictures.
        #[arg(long, default_value_t = 12)]
        count: usize,
    },
    /// Write the scenes, references and questions of the demonstration.
    DemoScenes {
        #[command(flatten)]
        run: RunArguments,
        /// Folder to write.
        #[arg(long)]
        out: PathBuf,
        /// Number of scenes.
        #[arg(long, default_value_t = 5)]
        scenes: usize,
    },
    /// Check a data set of your own, line by line (see docs/your-data.md).
    CheckData {
        /// Data file, one JSON object a line.
        file: PathBuf,
    },
}

/// Options of a run on several machines: the same command on each, except for --node.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeArguments {
    /// Addresses of the machines that train together, in the same order on each; every machine
    /// listens at its own port.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "HOST:PORT,…",
        requires = "node"
    )]
    pub nodes: Vec<String>,
    /// Rank of this machine, from 0; number 0 logs and writes the checkpoints, and all machines
    /// need its run folder.
    #[arg(long, value_name = "K", requires = "nodes")]
    pub node: Option<usize>,
}

impl NodeArguments {
    pub fn topology(self) -> Result<Option<Topology>> {
        let Some(rank) = self.node else {
            return Ok(None);
        };
        let addresses = self.nodes;
        let topology = Topology { addresses, rank };
        topology.check()?;
        Ok(Some(topology))
    }
}

#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// Training configuration (JSON).
    #[arg(long)]
    pub config: PathBuf,
    /// Folder of the run; `runs/NAME` by default.
    #[arg(long)]
    pub run: Option<PathBuf>,
    /// Unpacked tuxpaint-stamps-default, as left by `cargo xtask data stamps`.
    #[arg(long, default_value = "data/stamps")]
    pub stamps: PathBuf,
    /// Unpacked tuxpaint-data, for photographic backgrounds.
    #[arg(long)]
    pub backgrounds: Option<PathBuf>,
}

impl RunArguments {
    pub fn open(&self) -> Result<(TrainConfig, Folders)> {
        let config: TrainConfig = self.read("training configuration")?;
        let folders = self.folders(&config.name);
        Ok((config, folders))
    }

    pub fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T> {
        let text = std::fs::read_to_string(anyref_weights::local_path(&self.config)?)
            .with_context(|| format!("cannot read {}", self.config.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no {what}", self.config.display()))
    }

    pub fn folders(&self, name: &str) -> Folders {
        let usual = || PathBuf::from("runs").join(name);
        Folders {
            run: self.run.clone().unwrap_or_else(usual),
            stamps: self.stamps.clone(),
            backgrounds: self.backgrounds.clone(),
        }
    }
}
