//! Options of a server.

use std::net::SocketAddr;
use std::time::Duration;

use anyref_api::QuestionLimits;

use crate::error::{Error, Result};

/// Limits of single requests, and of all together.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body of a request in bytes.
    pub body_bytes: usize,
    /// Largest total of all bodies held at once, in bytes.
    pub upload_bytes: usize,
    /// Limits of a question and its files.
    pub question: QuestionLimits,
    /// Number of requests that may wait for the model.
    pub queue: usize,
    /// Largest number of questions in a batch.
    pub batch: usize,
    /// Number of simultaneous connections.
    pub connections: usize,
    /// Memory for encoded pictures in bytes.
    pub cache_bytes: u64,
    /// Number of conversations kept.
    pub conversations: usize,
    /// Memory that loaded models may take together, in bytes; beyond it the least recently used are
    /// dropped. `None` sets no limit.
    pub model_bytes: Option<u64>,
    /// Longest time that a model to be loaded waits for an idle one to make room.
    pub rest: Duration,
    /// Time in which a request's head and its body have to arrive.
    pub upload: Duration,
    /// Time in which an answer must be computed.
    pub answer: Duration,
    /// Time that questions wait for others, to be answered in one batch.
    pub window: Duration,
    /// Time given to running requests after a shutdown began.
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
            model_bytes: None,
            rest: Duration::from_secs(10),
            upload: Duration::from_secs(30),
            answer: Duration::from_secs(120),
            window: Duration::from_millis(3),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Access rules.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Secret that requests must carry.
    pub token: Option<String>,
    /// Whether anybody may ask who reaches an address that is not loopback.
    pub open: bool,
    /// Origins of other pages that may ask, such as `https://example.org`.
    pub origins: Vec<String>,
}

/// Options of a [`Server`](crate::Server).
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Limits of requests.
    pub limits: Limits,
    /// Access rules.
    pub access: Access,
    /// Scenes that the page offers, names and contents of files: `demo.json`, which lists scenes
    /// with their questions, and the files that it names. Empty if there are none to offer.
    pub scenes: &'static [(&'static str, &'static [u8])],
}

impl ServerOptions {
    /// Checks whether a server may listen on an address.
    ///
    /// # Errors
    /// When other machines can reach it and neither a token nor [`Access::open`] is given, or a
    /// limit or the token is invalid.
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
