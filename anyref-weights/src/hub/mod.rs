//! Files of the Hugging Face hub: `hf://org/name[@revision][/path]` wherever a path is taken.
//!
//! [`local_path`] turns such a location into a path of this machine. What a folder of a model needs is
//! fetched into the hub's own cache, shared with Python's `huggingface_hub`; a download that broke off is
//! resumed. Downloading needs the feature `hub`; without it a location is an error that says so.

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
mod wanted;

use std::borrow::Cow;
use std::path::Path;

#[cfg(feature = "hub")]
pub use client::Hub;
#[cfg(feature = "hub")]
pub use config::HubConfig;
pub use error::HubError;
pub use location::HubLocation;

use crate::error::Result;

/// A path of this machine for a path or a location of the hub. Paths are returned as they are; a location
/// is fetched first, as the environment says (`HubConfig::from_env`).
///
/// # Errors
/// When a location is malformed or cannot be fetched.
pub fn local_path(path: &Path) -> Result<Cow<'_, Path>> {
    match HubLocation::in_path(path) {
        None => Ok(Cow::Borrowed(path)),
        Some(location) => Ok(Cow::Owned(fetch(&location?)?)),
    }
}

#[cfg(feature = "hub")]
fn fetch(location: &HubLocation) -> Result<std::path::PathBuf, HubError> {
    Hub::new(HubConfig::from_env()?)?.fetch(location)
}

#[cfg(not(feature = "hub"))]
fn fetch(location: &HubLocation) -> Result<std::path::PathBuf, HubError> {
    Err(HubError::Disabled(location.clone()))
}
