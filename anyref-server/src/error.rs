//! Errors of the server as a whole.

use std::io;
use std::net::SocketAddr;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors that keep a server from running. Errors of single requests are answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model does not load.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// The address cannot be listened on, or a connection cannot be accepted.
    #[error("cannot listen: {0}; choose another address with --listen")]
    Listen(#[from] io::Error),
    /// Anybody who reaches the address could ask.
    #[error(
        "{0} can be reached from other machines: give a token, or say that anybody may ask (--token, --token-file or --no-auth)"
    )]
    Open(SocketAddr),
    /// An option that no server can have.
    #[error("{option} {problem}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its problem, and the values that are right.
        problem: String,
    },
}
