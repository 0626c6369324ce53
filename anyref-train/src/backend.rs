//! The only file of this binary that names backends.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use anyref_train::run::config::TrainConfig;
use anyref_train::run::launch::{Folders, export_checkpoint, launch};
use clap::ValueEnum;

/// Backends by name; those not compiled in say how to get them.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum BackendName {
    /// The processor.
    Flex,
    /// The GPU through wgpu, with whatever the system offers.
    Wgpu,
    /// The GPU through CUDA.
    Cuda,
}

impl Default for BackendName {
    fn default() -> Self {
        if cfg!(feature = "cuda") {
            Self::Cuda
        } else if cfg!(feature = "wgpu") {
            Self::Wgpu
        } else {
            Self::Flex
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        })
    }
}

/// Runs `$body` with `B` bound to the backend of this name on its default device.
macro_rules! with_backend {
    ($name:expr, $B:ident => $body:expr) => {
        match $name {
            #[cfg(feature = "flex")]
            BackendName::Flex => {
                type $B = burn::backend::Autodiff<burn::backend::Flex>;
                $body
            }
            #[cfg(feature = "wgpu")]
            BackendName::Wgpu => {
                type $B = burn::backend::Autodiff<burn::backend::Wgpu>;
                $body
            }
            #[cfg(feature = "cuda")]
            BackendName::Cuda => {
                type $B = burn::backend::Autodiff<burn::backend::Cuda>;
                $body
            }
            #[allow(unreachable_patterns)]
            other => bail!("backend {other} is not compiled in: build with `--features {other}`"),
        }
    };
}

impl BackendName {
    /// Trains or resumes a run; returns whether it is complete.
    pub fn train(
        self,
        config: &TrainConfig,
        folders: &Folders,
        stop_after: Option<u64>,
    ) -> Result<bool> {
        with_backend!(self, B => launch::<B>(config, folders, stop_after, &Default::default()))
    }

    /// Exports the newest checkpoint.
    pub fn export(self, config: &TrainConfig, folders: &Folders, out: &Path) -> Result<PathBuf> {
        with_backend!(self, B => export_checkpoint::<B>(config, folders, out, &Default::default()))
    }
}
