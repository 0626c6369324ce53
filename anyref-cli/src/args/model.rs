//! Options of the commands about models: `assemble`, `models` and `info`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct AssembleArguments {
    /// SAM: the authors' .pth or a transformers folder; not needed if --llm is a LISA
    #[arg(long, value_name = "PATH")]
    pub sam: Option<PathBuf>,
    /// Leave out the audio encoder
    #[arg(long, conflicts_with = "imagebind")]
    pub no_audio: bool,
    /// Folder of a LLaMA, LLaVA or LISA, with config.json and tokenizer.json or tokenizer.model
    #[arg(long, value_name = "DIR")]
    pub llm: PathBuf,
    /// PEFT adapter folder, merged into the weights
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// New model folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Largest size of a weights file, in megabytes
    #[arg(long, default_value_t = 4000, value_name = "N")]
    pub shard_mb: u64,
}

#[derive(Debug, Args)]
pub struct ModelsArguments {
    /// Print one JSON array instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InfoArguments {
    /// List the tensors of this file or folder instead, and mismatches
    #[arg(value_name = "FILE|DIR")]
    pub path: Option<PathBuf>,
    /// Compare the tensors with a preset (nano, anyref-7b, lisa-7b, lisa-13b) or a model's
    /// config.json [default: the config that comes with them]
    #[arg(long, value_name = "PRESET|FILE", requires = "path")]
    pub against: Option<String>,
    /// List the backends of this build and their devices instead
    #[arg(long, conflicts_with = "path")]
    pub devices: bool,
}
