//! Errors of the server as a whole.

use std::io;
use std::net::SocketAddr;

/// Result with an [`Error`] of the server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failure of the whole server. Errors of single requests are sent as answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// The address cannot be listened on, or a connection cannot be accepted.
    #[error("cannot listen: {0}; choose another address with --listen")]
    Listen(#[from] io::Error),
    /// The address is reachable by others, and anybody could ask.
    #[error(
        "{0} can be reached from other machines: give a token, or say that anybody may ask (--token, --token-file or --no-auth)"
    )]
    Open(SocketAddr),
    /// An option has a value that no server can have.
    #[error("{option} {problem}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Description of the problem, with the valid values.
        problem: String,
    },
}
