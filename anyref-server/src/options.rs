//! Options of a server.

use std::net::SocketAddr;
use std::time::Duration;

use anyref_api::QuestionLimits;

use crate::error::{Error, Result};

/// Bounds of what one request and all together may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of all bodies that are held at once.
    pub upload_bytes: usize,
    /// A question and its files.
    pub question: QuestionLimits,
    /// Requests that wait for the model.
    pub queue: usize,
    /// Questions that are answered together.
    pub batch: usize,
    /// Connections at once.
    pub connections: usize,
    /// Memory of encoded pictures that are kept, in bytes.
    pub cache_bytes: u64,
    /// Conversations that are kept.
    pub conversations: usize,
    /// Time in which a request's head and its body have to arrive.
    pub upload: Duration,
    /// Time in which an answer has to come.
    pub answer: Duration,
    /// Time that questions wait for others to be answered with.
    pub window: Duration,
    /// Time that running requests have after a shutdown began.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            upload_bytes: 512 << 20,
            question: QuestionLimits::default(),
            queue: 256,
            batch: 16,
            connections: 512,
            cache_bytes: 1 << 30,
            conversations: 256,
            upload: Duration::from_secs(30),
            answer: Duration::from_secs(120),
            window: Duration::from_millis(3),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Secret that requests have to bear.
    pub token: Option<String>,
    /// Whether anybody who reaches an address that is not loopback may ask.
    pub open: bool,
    /// Origins of other pages that may ask, such as `https://example.org`.
    pub origins: Vec<String>,
}

/// Options of a [`Server`](crate::Server).
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Bounds.
    pub limits: Limits,
    /// Who may ask.
    pub access: Access,
    /// Names of the things that the model learned; none where it is open to all.
    pub known: Vec<String>,
    /// Scenes that the page offers, names and contents of files: `demo.json`, which lists scenes
    /// with their questions, and what it names. None where it has none to offer.
    pub scenes: &'static [(&'static str, &'static [u8])],
}

impl ServerOptions {
    /// Whether a server may listen on an address.
    ///
    /// # Errors
    /// When other machines reach it and neither a token nor [`Access::open`] is given, or a limit
    /// or the token is one that no server can have.
    pub fn check(&self, address: SocketAddr) -> Result<()> {
        let wrong = |option, problem: &str| {
            Err(Error::Option {
                option,
                problem: problem.into(),
            })
        };
        if self.limits.queue == 0 || self.limits.batch == 0 || self.limits.connections == 0 {
            return wrong("a limit", "is 0: give 1 or more");
        }
        match &self.access.token {
            Some(token) if token.trim().is_empty() => wrong("the token", "is empty"),
            Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => wrong(
                "the token",
                "has a sign that no header takes: use ASCII without blanks",
            ),
            Some(_) => Ok(()),
            None if address.ip().is_loopback() || self.access.open => Ok(()),
            None => Err(Error::Open(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_need_a_token_or_a_word() {
        let (near, far) = ("127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        let mut options = ServerOptions::default();
        options.check(near).unwrap();
        options.check("[::1]:0".parse().unwrap()).unwrap();
        assert!(matches!(options.check(far), Err(Error::Open(_))));
        options.access.open = true;
        options.check(far).unwrap();
        options.access.open = false;
        options.access.token = Some("secret".into());
        options.check(far).unwrap();
        for bad in ["", " ", "a b", "ü"] {
            options.access.token = Some(bad.into());
            assert!(options.check(near).is_err(), "{bad:?}");
        }
    }
}
