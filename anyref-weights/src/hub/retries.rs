//! Trying again after a download broke off.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// Before the first retry; twice as long before each other.
const PAUSE: Duration = Duration::from_millis(250);
/// Between retries at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Retries that a download has left; as many again after each that brought something new.
#[derive(Debug)]
pub(super) struct Retries {
    allowed: u32,
    left: u32,
    pause: Duration,
}

impl Retries {
    /// Allows `allowed` retries in a row without anything new.
    pub(super) fn new(allowed: u32) -> Self {
        Self {
            allowed,
            left: allowed,
            pause: PAUSE,
        }
    }

    /// Counts anew, since something new has arrived.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.allowed);
    }

    /// Waits before another try; `false` when none is left.
    pub(super) fn again(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

/// Tells whether a request that failed so may be answered later.
pub(super) fn may_pass(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Status(status, _) => matches!(status, 408 | 429 | 500..=599),
        ureq::Error::Transport(transport) => matches!(
            transport.kind(),
            ureq::ErrorKind::Dns
                | ureq::ErrorKind::ConnectionFailed
                | ureq::ErrorKind::Io
                | ureq::ErrorKind::BadStatus
        ),
    }
}

/// Tells whether a connection that broke off so may be made again.
pub(super) fn may_reconnect(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::Interrupted
    )
}
