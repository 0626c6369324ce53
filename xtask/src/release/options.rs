//! Options of `cargo xtask release`.

use std::path::PathBuf;

use clap::Args;

/// Options of `release`.
#[derive(Debug, Args)]
pub struct Release {
    /// Folder for the artefacts; has to be new or empty, but for a dry run
    #[arg(long, default_value = "out/release", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Build nothing: check versions, licences, the changelog and the crates, make what is quickly
    /// made, and list every artefact with its size or with what would make it
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Build the wheel with zig (pip install ziglang), which holds it to an older glibc than this
    /// machine's
    #[arg(long)]
    pub(super) zig: bool,
    /// Python with maturin
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub(super) python: PathBuf,
    /// Compile the web page with Debian's compiler, as `cargo xtask web --debian`
    #[arg(long)]
    pub(super) debian: bool,
    /// Leave the web page out: it is the same for all systems
    #[arg(long)]
    pub(super) no_web: bool,
    /// Leave the check of the crates out, which asks crates.io
    #[arg(long)]
    pub(super) no_crates: bool,
}
