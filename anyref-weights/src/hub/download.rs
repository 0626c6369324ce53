//! One file into the cache.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::sync::{ApiError, ApiRepo};

use super::listing::{Listing, RemoteFile};
use super::{Hub, HubError, HubLocation};

/// Before the first retry; twice as long before each other.
const PAUSE: Duration = Duration::from_millis(250);
/// Between retries at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Hub {
    /// The path of a file in the cache, fetched if it is not there.
    pub(super) fn file(
        &self,
        location: &HubLocation,
        repository: &ApiRepo,
        listing: &Listing,
        name: &str,
    ) -> Result<PathBuf, HubError> {
        let about = listing.files.get(name).cloned().unwrap_or_default();
        let path = self.snapshot(location, &listing.commit).join(name);
        if is_complete(&path, &about) {
            return Ok(path);
        }
        let blobs = self.root(location).join("blobs");
        let blob = about.tag.as_ref().map(|tag| blobs.join(tag));
        if let Some(blob) = &blob {
            // The same content under another commit, as after a change of the model card.
            if about.size.is_some() && is_complete(blob, &about) && link(name, blob, &path).is_ok()
            {
                return Ok(path);
            }
        }
        let part = blob.map(|blob| blob.with_extension("part"));
        self.download(location, repository, name, &about, part.as_deref())?;
        match std::fs::metadata(&path)
            .map_err(|source| self.cache_error(source))?
            .len()
        {
            found if about.size.is_some_and(|size| size != found) => {
                // The pointer's target as well, or it would be taken for the file.
                if let Ok(blob) = path.canonicalize() {
                    let _ = std::fs::remove_file(blob);
                }
                let _ = std::fs::remove_file(&path);
                Err(HubError::Size {
                    location: location.clone(),
                    file: name.into(),
                    expected: about.size.unwrap_or_default(),
                    found,
                })
            }
            _ => Ok(path),
        }
    }

    /// Downloads a file, going on after interruptions for as long as something new arrives.
    fn download(
        &self,
        location: &HubLocation,
        repository: &ApiRepo,
        name: &str,
        about: &RemoteFile,
        part: Option<&Path>,
    ) -> Result<(), HubError> {
        let length = |part: Option<&Path>| std::fs::metadata(part?).ok().map(|meta| meta.len());
        let mut pause = PAUSE;
        let mut retries = self.config.retries;
        loop {
            let before = length(part);
            // A part as long as the file cannot be continued: there is nothing left to ask for.
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
                (pause, retries) = (PAUSE, self.config.retries);
            }
            if retries == 0 || !is_passing(&error) {
                return Err(self.failure(location, name, error));
            }
            retries -= 1;
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
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

/// Whether trying again may help.
fn is_passing(error: &ApiError) -> bool {
    match error {
        ApiError::RequestError(error) => match &**error {
            ureq::Error::Status(status, _) => matches!(status, 408 | 429 | 500..=599),
            ureq::Error::Transport(transport) => matches!(
                transport.kind(),
                ureq::ErrorKind::Dns
                    | ureq::ErrorKind::ConnectionFailed
                    | ureq::ErrorKind::Io
                    | ureq::ErrorKind::BadStatus
            ),
        },
        ApiError::IoError(error) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::TimedOut
                | ErrorKind::WouldBlock
                | ErrorKind::Interrupted
        ),
        _ => false,
    }
}

/// Whether a file is there in its length.
fn is_complete(path: &Path, about: &RemoteFile) -> bool {
    let meta = std::fs::metadata(path);
    meta.is_ok_and(|meta| meta.is_file() && about.size.is_none_or(|size| size == meta.len()))
}

/// Lets a file's name under a commit lead to its content, as the cache does it: by a relative link.
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
