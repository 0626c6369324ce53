//! Files of the Hugging Face hub: `hf://org/name[@revision][/path]`.
//!
//! [`local_path`] turns such a location into a path of this machine; programs call it where they
//! read a user's argument. Functions that take a path never reach the network: they refuse a
//! location ([`refuse_location`]). The files that a model folder needs are fetched into the hub's
//! cache, shared with Python's `huggingface_hub`; a download that broke off is resumed, and its
//! size and SHA-256 are checked where the hub gives them. Downloading needs the feature `hub`;
//! without it a location is an error that says so. `PinnedFile` fetches one file of any address,
//! whose size and SHA-256 the program knows.

#[cfg(feature = "hub")]
mod checksum;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod config;
#[cfg(feature = "hub")]
mod download;
mod error;
#[cfg(feature = "hub")]
mod listing;
mod location;
#[cfg(feature = "hub")]
mod pinned;
#[cfg(feature = "hub")]
mod retries;
#[cfg(feature = "hub")]
mod wanted;

use std::borrow::Cow;
use std::path::Path;

#[cfg(feature = "hub")]
pub use client::Hub;
#[cfg(feature = "hub")]
pub use config::HubConfig;
pub use error::HubError;
pub use location::{HubLocation, LocationError};
#[cfg(feature = "hub")]
pub use pinned::PinnedFile;

use crate::error::{Result, one_line};

/// Returns the local path of a path or a hub location. Paths are returned unchanged; a location is
/// fetched first, configured by the environment (`HubConfig::from_env`).
///
/// # Errors
/// When a location is malformed or cannot be fetched.
pub fn local_path(path: &Path) -> Result<Cow<'_, Path>> {
    match HubLocation::in_path(path) {
        None => Ok(Cow::Borrowed(path)),
        Some(location) => Ok(Cow::Owned(fetch(&location.map_err(HubError::from)?)?)),
    }
}

/// Rejects a hub location where a local path is needed, before a missing file would be reported.
///
/// # Errors
/// [`HubError::NotLocal`] when the path begins with `hf://`.
pub fn refuse_location(path: &Path) -> Result<()> {
    match HubLocation::in_path(path) {
        None => Ok(()),
        Some(_) => Err(HubError::NotLocal(one_line(&path.to_string_lossy())).into()),
    }
}

/// Name of the repository whose revision is cached in `folder`: `name` of
/// `models--org--name/snapshots/COMMIT`; `None` for any other folder.
pub fn cached_name(folder: &Path) -> Option<&str> {
    let snapshots = folder.parent()?;
    if snapshots.file_name()? != "snapshots" {
        return None;
    }
    let repository = snapshots.parent()?.file_name()?.to_str()?;
    let (_, name) = repository.strip_prefix("models--")?.split_once("--")?;
    Some(name)
}

#[cfg(feature = "hub")]
fn fetch(location: &HubLocation) -> Result<std::path::PathBuf, HubError> {
    Hub::new(HubConfig::from_env()?)?.fetch(location)
}

#[cfg(not(feature = "hub"))]
fn fetch(location: &HubLocation) -> Result<std::path::PathBuf, HubError> {
    Err(HubError::Disabled(location.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_cache_is_named_after_its_repository() {
        for (folder, name) in [
            (
                "/cache/models--org--my-model--7b/snapshots/abc",
                Some("my-model--7b"),
            ),
            ("models--org--name/snapshots/abc", Some("name")),
            ("models--org--name/blobs/abc", None),
            ("runs/snapshots/abc", None),
            ("abc", None),
        ] {
            assert_eq!(cached_name(Path::new(folder)), name, "{folder}");
        }
    }
}
