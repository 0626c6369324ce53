//! Model that a run starts from: a folder of this project, or one as its authors published it.

use std::path::{Path, PathBuf};

use anyref_core::{AnyRefConfig, Companions, ModelPlace, OpenedModel, Result};
use anyref_llm::Tokenizer;
use anyref_weights::Checkpoint;
use burn::tensor::backend::Backend;

/// Opened model of which no values have been read.
pub(super) enum StartFolder {
    /// Folder of this project.
    Own(PathBuf),
    /// Folder in its authors' layout, put together.
    Published(Box<OpenedModel>),
}

impl StartFolder {
    /// Opens a folder.
    ///
    /// # Errors
    /// When it is published and cannot be put together without other parts, or is damaged.
    pub(super) fn open<B: Backend>(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Ok(Self::Own(folder.into()));
        }
        Ok(match ModelPlace::open(folder)? {
            ModelPlace::Folder(folder) => Self::Own(folder),
            place => {
                let opened = OpenedModel::open::<B>(&place, &Companions::default())?;
                Self::Published(Box::new(opened))
            }
        })
    }

    /// Configuration of the model.
    ///
    /// # Errors
    /// When the folder has none.
    pub(super) fn config(&self) -> Result<AnyRefConfig> {
        match self {
            Self::Own(folder) => AnyRefConfig::of_folder(folder),
            Self::Published(opened) => Ok(opened.config.clone()),
        }
    }

    /// Tokenizer of the model.
    ///
    /// # Errors
    /// When the folder has none.
    pub(super) fn tokenizer(&self) -> Result<Tokenizer> {
        match self {
            Self::Own(folder) => Ok(Tokenizer::from_folder(folder)?),
            Self::Published(opened) => Ok(opened.tokenizer.clone()),
        }
    }

    /// Weights by the names of the model's parameters.
    ///
    /// # Errors
    /// When the folder has none that can be read.
    pub(super) fn checkpoint(self) -> Result<Checkpoint> {
        match self {
            Self::Own(folder) => Ok(Checkpoint::open(folder)?),
            Self::Published(opened) => Ok(opened.checkpoint),
        }
    }
}
