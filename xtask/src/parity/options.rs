//! Parts to compare, and the commands of their references.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cargo::script;

/// Parts, smallest first; the last is all of them in one model, which has no reference.
pub const PARTS: [&str; 20] = [
    "clip",
    "sam-b",
    "mask-decoder",
    "imagebind",
    "imagebind-text",
    "sam-h",
    "sam-h-prompts",
    "sam2-t",
    "sam2-s",
    "sam2-b",
    "sam2-l",
    "region-encoder",
    "llama-1b",
    "llama-1b-f32",
    "llama",
    "sa2va-1b",
    "sa2va-1b-f32",
    "glamm",
    "lisa-7b",
    ASSEMBLED,
];
/// Numbers of tiles that the picture of a Sa2VA is cut into without a rest.
const TILES: [&str; 3] = ["1", "4", "12"];
/// All parts in one model.
pub const ASSEMBLED: &str = "anyref-7b";

/// Options of `parity`.
#[derive(Debug, Args)]
pub struct Parity {
    /// Use real sizes (up to LISA-7B: 16 GB of disk, 24 GiB of memory; anyref-7b: 40 GB of disk)
    /// instead of tiny ones
    #[arg(long)]
    pub full: bool,
    /// Python with torch, torchvision, transformers, safetensors, segment-anything and pillow
    /// before 13
    #[arg(long, default_value = "python3", value_name = "PATH")]
    pub python: PathBuf,
    /// Folder for weights and numbers; each part's weights are removed afterwards
    #[arg(long, default_value = "runs/parity", value_name = "DIR")]
    pub out: PathBuf,
    /// Number of times that each side is started, in turns
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub rounds: usize,
    /// Number of computations of a side in each round; the medians of all are compared
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub times: usize,
    /// Most tiles of a picture, one row each, for a Sa2VA
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = TILES)]
    #[arg(value_parser = PossibleValuesParser::new(TILES))]
    pub tiles: Vec<String>,
    /// Parts to compare; all but anyref-7b by default
    #[arg(value_name = "PART", value_parser = PARTS)]
    pub parts: Vec<String>,
}

impl Parity {
    /// Numbers of tiles with which a part runs; none of a part without tiles.
    pub fn tiles_of(&self, part: &str) -> Vec<Option<&str>> {
        match part.starts_with("sa2va") {
            true => self
                .tiles
                .iter()
                .map(|tiles| Some(tiles.as_str()))
                .collect(),
            false => vec![None],
        }
    }

    /// Command of the reference for a part, up to its folder.
    pub fn reference(&self, action: &str, part: &str) -> Command {
        let size = if self.full { "full" } else { "tiny" };
        let script = script("reference.py");
        let mut command = Command::new(&self.python);
        command.arg(script).args([action, part, size]);
        command
    }
}

/// Removes the weights of a part; inputs and outputs, which are small, stay.
pub fn remove_weights(folder: &Path) -> Result<()> {
    let (whole, file) = (folder.join("part"), folder.join("part.pth"));
    for part in [whole, folder.join("clip")] {
        if part.is_dir() {
            std::fs::remove_dir_all(&part).with_context(|| part.display().to_string())?;
        }
    }
    if file.is_file() {
        std::fs::remove_file(&file).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
