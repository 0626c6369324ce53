//! Download of one file into the cache.

use std::io;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiError, ApiRepo};

use super::checksum::Unchecked;
use super::listing::{Listing, RemoteFile};
use super::retries::{Retries, may_pass, may_reconnect};
use super::{Hub, HubError, HubLocation};

impl Hub {
    /// Returns the path of a file in the cache, downloading it if necessary.
    pub(super) fn file(
        &self,
        location: &HubLocation,
        repository: &ApiRepo,
        listing: &Listing,
        name: &str,
    ) -> Result<PathBuf, HubError> {
        let about = listing.files.get(name).cloned().unwrap_or_default();
        let path = self.snapshot(location, &listing.commit).join(name);
        let blobs = self.root(location).join("blobs");
        let blob = about.tag.as_ref().map(|tag| blobs.join(tag));
        let unchecked = match (&blob, &about.sha256) {
            (Some(blob), Some(sha256)) => Some(Unchecked::new(blob, sha256)),
            _ => None,
        };
        // Equal content under another commit, as after a change of the model card, is linked.
        let linked = |blob: &PathBuf| {
            about.size.is_some() && is_complete(blob, &about) && link(name, blob, &path).is_ok()
        };
        if !is_complete(&path, &about) && !blob.as_ref().is_some_and(linked) {
            if let Some(unchecked) = &unchecked {
                unchecked
                    .mark()
                    .map_err(|source| self.cache_error(source))?;
            }
            let part = blob.map(|blob| blob.with_extension("part"));
            self.download(location, repository, name, &about, part.as_deref())?;
            self.check_size(location, name, &about, &path)?;
        }
        if let Some(unchecked) = unchecked.filter(Unchecked::is_marked) {
            self.check_content(location, name, &unchecked, &path)?;
        }
        Ok(path)
    }

    /// Rejects and removes a file whose size is not the announced one.
    fn check_size(
        &self,
        location: &HubLocation,
        name: &str,
        about: &RemoteFile,
        path: &Path,
    ) -> Result<(), HubError> {
        let meta = std::fs::metadata(path).map_err(|source| self.cache_error(source))?;
        match about.size {
            Some(expected) if expected != meta.len() => {
                remove(path);
                Err(HubError::Size {
                    location: location.clone(),
                    file: name.into(),
                    expected,
                    found: meta.len(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Rejects and removes a file whose content is not the announced one.
    fn check_content(
        &self,
        location: &HubLocation,
        name: &str,
        unchecked: &Unchecked<'_>,
        path: &Path,
    ) -> Result<(), HubError> {
        let cache_error = |source| self.cache_error(source);
        if let Some(found) = unchecked.mismatch(path).map_err(cache_error)? {
            remove(path);
            return Err(HubError::Checksum {
                location: location.clone(),
                file: name.into(),
                expected: unchecked.sha256().into(),
                found: found.into(),
            });
        }
        unchecked.clear().map_err(cache_error)
    }

    /// Downloads a file, resuming after interruptions as long as there is progress.
    fn download(
        &self,
        location: &HubLocation,
        repository: &ApiRepo,
        name: &str,
        about: &RemoteFile,
        part: Option<&Path>,
    ) -> Result<(), HubError> {
        let length = |part: Option<&Path>| std::fs::metadata(part?).ok().map(|meta| meta.len());
        let mut retries = Retries::new(self.config.retries);
        loop {
            let before = length(part);
            // A part as long as the file cannot be resumed, since nothing is left to request.
            if let (Some(part), Some(before), Some(size)) = (part, before, about.size)
                && before >= size
            {
                std::fs::remove_file(part).map_err(|source| self.cache_error(source))?;
            }
            let error = match repository.download(name) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if length(part) > before {
                retries.restart();
            }
            if !is_passing(&error) || !retries.again() {
                return Err(self.failure(location, name, error));
            }
        }
    }

    fn failure(&self, location: &HubLocation, file: &str, error: ApiError) -> HubError {
        let reason = crate::error::one_line(&error.to_string());
        let interrupted = HubError::Interrupted {
            location: location.clone(),
            file: file.into(),
            reason,
        };
        match error {
            _ if is_passing(&error) => interrupted,
            ApiError::RequestError(error) => self.refusal(location, &error),
            ApiError::IoError(source) => self.cache_error(source),
            ApiError::LockAcquisition(_) => HubError::Busy {
                location: location.clone(),
                file: file.into(),
            },
            other => self.answer(location, other.to_string()),
        }
    }
}

/// Returns whether a retry may succeed.
fn is_passing(error: &ApiError) -> bool {
    match error {
        ApiError::RequestError(error) => may_pass(error),
        ApiError::IoError(error) => may_reconnect(error),
        _ => false,
    }
}

/// Removes a file of the cache: its name under a commit, and the content, which would otherwise be
/// taken for the file.
fn remove(path: &Path) {
    if let Ok(blob) = path.canonicalize() {
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(path);
}

/// Returns whether a file exists in full length.
fn is_complete(path: &Path, about: &RemoteFile) -> bool {
    let meta = std::fs::metadata(path);
    meta.is_ok_and(|meta| meta.is_file() && about.size.is_none_or(|size| size == meta.len()))
}

/// Links a file's name under a commit to its content, relatively, as the cache layout requires.
fn link(name: &str, blob: &Path, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if path.symlink_metadata().is_ok() {
        std::fs::remove_file(path)?;
    }
    #[cfg(unix)]
    {
        let up = "../".repeat(2 + name.matches('/').count());
        let tag = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(tag), path)
    }
    #[cfg(not(unix))]
    {
        let _ = name;
        std::fs::hard_link(blob, path)
    }
}
