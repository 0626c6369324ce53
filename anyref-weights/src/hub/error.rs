//! Errors of locations and downloads.

use std::io;
use std::path::PathBuf;

use super::location::{HubLocation, LocationError};

/// Error of a location or a download. Each message is one line that names the location and the
/// remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Not of the form `hf://org/name[@revision][/path]`.
    #[error(transparent)]
    Location(#[from] LocationError),

    /// A location where a path of this machine is needed.
    #[error(
        "{0}: a location of the hub where a path of this machine is needed; resolve it first by hub::local_path"
    )]
    NotLocal(String),

    /// The feature `hub` is off.
    #[error(
        "{0}: this build cannot download; build with the feature `hub`, or download the files and give their folder"
    )]
    Disabled(HubLocation),

    /// There is no place for the cache.
    #[error("no folder for downloads, since there is no home folder; set HF_HOME to one")]
    NoCache,

    /// The hub's address is none.
    #[error("HF_ENDPOINT is {0:?}; give an address such as https://huggingface.co")]
    Endpoint(String),

    /// No connection, and nothing in the cache.
    #[error(
        "{location}: no answer from {endpoint} ({reason}) and nothing in the cache; check the connection and HF_ENDPOINT"
    )]
    Unreachable {
        /// Location asked for.
        location: HubLocation,
        /// The hub's address.
        endpoint: String,
        /// The network's reason.
        reason: String,
    },

    /// Downloads are switched off, and nothing is in the cache.
    #[error("{location}: not in the cache {} and HF_HUB_OFFLINE is set; unset it to download", .cache.display())]
    Offline {
        /// Location asked for.
        location: HubLocation,
        /// The cache's folder.
        cache: PathBuf,
    },

    /// The hub wants to know who asks: the repository is private, gated, or not there.
    #[error(
        "{0}: access denied; check the name, and for a private or gated model set HF_TOKEN to a token from the hub's settings"
    )]
    TokenNeeded(HubLocation),

    /// The token is not enough.
    #[error("{location}: access denied with this token; ask for access at {endpoint}/{} or set HF_TOKEN to another token", .location.repository())]
    Denied {
        /// Location asked for.
        location: HubLocation,
        /// The hub's address.
        endpoint: String,
    },

    /// No such repository or revision.
    #[error("{location}: {endpoint} has no model `{}` with revision `{}`; check both, and HF_TOKEN if it is private", .location.repository(), .location.revision())]
    NotFound {
        /// Location asked for.
        location: HubLocation,
        /// The hub's address.
        endpoint: String,
    },

    /// No such file or folder in the repository.
    #[error("{location}: no such file or folder in the repository; it has {files}")]
    NoFile {
        /// Location asked for.
        location: HubLocation,
        /// Some of the files there are.
        files: String,
    },

    /// A download that broke off and could not be resumed.
    #[error(
        "{location}: the download of {file} broke off ({reason}); run it again, it goes on where it stopped"
    )]
    Interrupted {
        /// Location asked for.
        location: HubLocation,
        /// The file.
        file: String,
        /// The network's reason.
        reason: String,
    },

    /// A file that is not as long as the hub says.
    #[error(
        "{location}: {file} has {found} bytes and the hub says {expected}; it was removed, run it again"
    )]
    Size {
        /// Location asked for.
        location: HubLocation,
        /// The file.
        file: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes received.
        found: u64,
    },

    /// A file whose content is not the one that the hub has.
    #[error(
        "{location}: {file} is damaged, its SHA-256 is {found} and the hub says {expected}; it was removed, run it again"
    )]
    Checksum {
        /// Location asked for.
        location: HubLocation,
        /// The file.
        file: Box<str>,
        /// SHA-256 announced, in hexadecimal digits.
        expected: Box<str>,
        /// SHA-256 of the bytes received.
        found: Box<str>,
    },

    /// Another process downloads the same file.
    #[error("{location}: another process is downloading {file}; wait for it and run it again")]
    Busy {
        /// Location asked for.
        location: HubLocation,
        /// The file.
        file: String,
    },

    /// An answer that is none of the hub's.
    #[error(
        "{location}: {endpoint} does not answer like a hub ({reason}); check HF_ENDPOINT, or try again later"
    )]
    Answer {
        /// Location asked for.
        location: HubLocation,
        /// The hub's address.
        endpoint: String,
        /// Unexpected part of the answer.
        reason: String,
    },

    /// The cache cannot be read or written.
    #[error("{}: {source}; check permissions and disk space, or set HF_HOME to another folder", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}
