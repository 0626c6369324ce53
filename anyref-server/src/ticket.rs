//! Tickets that tell whether somebody still waits for a piece of work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyref_core::Cancel;

/// Batch that is being computed. It is cancelled once nobody waits for any part of it.
#[derive(Debug)]
pub(crate) struct Running {
    waiting: AtomicUsize,
    pub(crate) cancel: Cancel,
}

impl Running {
    /// Starts a batch of tickets.
    pub(crate) fn start(tickets: &[Ticket]) -> Arc<Self> {
        let running = Arc::new(Self {
            waiting: AtomicUsize::new(tickets.len()),
            cancel: Cancel::new(),
        });
        for ticket in tickets {
            let mut place = ticket
                .0
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if ticket.is_gone() {
                running.leave();
            } else {
                *place = Some(running.clone());
            }
        }
        running
    }

    fn leave(&self) {
        if self.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.cancel.cancel();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    gone: AtomicBool,
    running: Mutex<Option<Arc<Running>>>,
}

/// Engine's side of a [`Stay`].
#[derive(Debug, Clone)]
pub(crate) struct Ticket(Arc<Shared>);

impl Ticket {
    /// Returns whether nobody waits any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }
}

/// Guard held by whoever waits for work; dropping it drops the work.
#[derive(Debug, Default)]
pub(crate) struct Stay(Arc<Shared>);

impl Stay {
    /// Ticket for the engine.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.0.clone())
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let running = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.0.gone.store(true, Ordering::Release);
        if let Some(running) = running.as_ref() {
            running.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_cancelled_when_the_last_one_leaves() {
        let stays: Vec<Stay> = (0..3).map(|_| Stay::default()).collect();
        let tickets: Vec<Ticket> = stays.iter().map(Stay::ticket).collect();
        let mut stays = stays.into_iter();
        drop(stays.next());
        let running = Running::start(&tickets);
        assert!(tickets[0].is_gone() && !tickets[1].is_gone());
        drop(stays.next());
        assert!(!running.cancel.is_cancelled());
        drop(stays.next());
        assert!(running.cancel.is_cancelled());
    }
}
