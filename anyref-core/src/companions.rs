//! Parts that a published model leaves to other repositories.

use std::path::{Path, PathBuf};

use anyref_weights::hub::{HubLocation, local_path};

use crate::assemble::parts_file;
use crate::official::{Kind, Published, is_published, language};
use crate::{Error, Result};

/// Places of parts that a model does not carry itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Companions {
    /// CLIP's folder, for a LISA.
    pub clip: Option<PathBuf>,
}

impl Companions {
    /// Companions on this machine for the model at `path`. Those that are `hf://` locations are
    /// fetched; a LISA's CLIP, where none is given, from the repository that its config names.
    ///
    /// # Errors
    /// When a companion cannot be fetched, or the model at `path` cannot be opened.
    pub fn resolve(&self, path: &Path) -> Result<Self> {
        let clip = match &self.clip {
            Some(clip) => Some(local(clip)?),
            None => tower_of(path)?
                .map(|tower| named_tower(path, &tower))
                .transpose()?,
        };
        Ok(Self { clip })
    }
}

fn local(path: &Path) -> Result<PathBuf> {
    let path = local_path(path).map_err(Error::from);
    Ok(path.map_err(Error::of_part("clip"))?.into_owned())
}

/// Name of the tower that a published model leaves to another repository.
fn tower_of(path: &Path) -> Result<Option<String>> {
    if parts_file(path).is_some() || !is_published(path)? {
        return Ok(None);
    }
    let published = Published::open(path)?;
    match published.kind {
        Some(Kind::Lisa) if !published.has_tower() => Ok(language(&published)?.tower),
        _ => Ok(None),
    }
}

/// The place of a tower by the name that a config has for it: a folder, or a repository.
fn named_tower(model: &Path, tower: &str) -> Result<PathBuf> {
    let folder = Path::new(tower);
    if folder.is_dir() {
        return Ok(folder.into());
    }
    let location = PathBuf::from(format!("hf://{tower}"));
    match HubLocation::in_path(&location) {
        Some(Ok(_)) => local(&location),
        _ => Err(Error::folder(
            model,
            format!(
                "its config names {tower:?} as its picture encoder, which is neither a folder nor a repository; give CLIP's folder by --clip"
            ),
        )),
    }
}
