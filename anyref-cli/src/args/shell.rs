//! Options of the commands for the shell: `completions` and `manual`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// Shell that completes the command line
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManualArguments {
    /// Folder for the pages, made where it is missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
