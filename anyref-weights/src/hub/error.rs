//! Errors of locations and downloads.

use std::io;
use std::path::PathBuf;

use super::location::{HubLocation, LocationError};

/// Error of a location or a download. Each message is one line that names the location and the
/// remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Location is not of the form `hf://org/name[@revision][/path]`.
    #[error(transparent)]
    Location(#[from] LocationError),

    /// Location of the hub is given where a local path is needed.
    #[error(
        "{0}: a location of the hub where a path of this machine is needed; resolve it first by hub::local_path"
    )]
    NotLocal(String),

    /// Feature `hub` is off.
    #[error(
        "{0}: this build cannot download; build with the feature `hub`, or download the files and give their folder"
    )]
    Disabled(HubLocation),

    /// No folder for the cache is known.
    #[error("no folder for downloads, since there is no home folder; set HF_HOME to one")]
    NoCache,

    /// Address of the hub is invalid.
    #[error("HF_ENDPOINT is {0:?}; give an address such as https://huggingface.co")]
    Endpoint(String),

    /// Hub is unreachable, and the cache has no copy.
    #[error(
        "{location}: no answer from {endpoint} ({reason}) and nothing in the cache; check the connection and HF_ENDPOINT"
    )]
    Unreachable {
        /// Requested location.
        location: HubLocation,
        /// Address of the hub.
        endpoint: String,
        /// Reason given by the network.
        reason: String,
    },

    /// Downloads are switched off, and the cache has no copy.
    #[error("{location}: not in the cache {} and HF_HUB_OFFLINE is set; unset it to download", .cache.display())]
    Offline {
        /// Requested location.
        location: HubLocation,
        /// Folder of the cache.
        cache: PathBuf,
    },

    /// Hub requires authentication: the repository is private, gated, or does not exist.
    #[error(
        "{0}: access denied; check the name, and for a private or gated model set HF_TOKEN to a token from the hub's settings"
    )]
    TokenNeeded(HubLocation),

    /// Token lacks access.
    #[error("{location}: access denied with this token; ask for access at {endpoint}/{} or set HF_TOKEN to another token", .location.repository())]
    Denied {
        /// Requested location.
        location: HubLocation,
        /// Address of the hub.
        endpoint: String,
    },

    /// Repository or revision does not exist.
    #[error("{location}: {endpoint} has no model `{}` with revision `{}`; check both, and HF_TOKEN if it is private", .location.repository(), .location.revision())]
    NotFound {
        /// Requested location.
        location: HubLocation,
        /// Address of the hub.
        endpoint: String,
    },

    /// File or folder does not exist in the repository.
    #[error("{location}: no such file or folder in the repository; it has {files}")]
    NoFile {
        /// Requested location.
        location: HubLocation,
        /// Some of the existing files.
        files: String,
    },

    /// Download was interrupted and could not be resumed.
    #[error(
        "{location}: the download of {file} broke off ({reason}); run it again, it goes on where it stopped"
    )]
    Interrupted {
        /// Requested location.
        location: HubLocation,
        /// Name of the file.
        file: String,
        /// Reason given by the network.
        reason: String,
    },

    /// Size of a file is not the announced one.
    #[error(
        "{location}: {file} has {found} bytes and the hub says {expected}; it was removed, run it again"
    )]
    Size {
        /// Requested location.
        location: HubLocation,
        /// Name of the file.
        file: String,
        /// Announced bytes.
        expected: u64,
        /// Received bytes.
        found: u64,
    },

    /// Content of a file is not the hub's.
    #[error(
        "{location}: {file} is damaged, its SHA-256 is {found} and the hub says {expected}; it was removed, run it again"
    )]
    Checksum {
        /// Requested location.
        location: HubLocation,
        /// Name of the file.
        file: Box<str>,
        /// Announced SHA-256, in hexadecimal digits.
        expected: Box<str>,
        /// SHA-256 of the received bytes.
        found: Box<str>,
    },

    /// Another process is downloading the file.
    #[error("{location}: another process is downloading {file}; wait for it and run it again")]
    Busy {
        /// Requested location.
        location: HubLocation,
        /// Name of the file.
        file: String,
    },

    /// Answer is not that of a hub.
    #[error(
        "{location}: {endpoint} does not answer like a hub ({reason}); check HF_ENDPOINT, or try again later"
    )]
    Answer {
        /// Requested location.
        location: HubLocation,
        /// Address of the hub.
        endpoint: String,
        /// Unexpected part of the answer.
        reason: String,
    },

    /// Cache cannot be read or written.
    #[error("{}: {source}; check permissions and disk space, or set HF_HOME to another folder", .path.display())]
    Cache {
        /// File or folder.
        path: PathBuf,
        /// Reason given by the system.
        source: io::Error,
    },
}
