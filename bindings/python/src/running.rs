//! Computations beside Python: without its lock, and interrupted by Ctrl-C.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyref_core::Cancel;
use pyo3::prelude::*;

use crate::error::{fault, raised};

/// Interval between checks for Ctrl-C.
const PATIENCE: Duration = Duration::from_millis(50);
/// Stack size of a computation in bytes, equal to a main thread's.
const STACK: usize = 8 << 20;

/// Computes on another thread, while this one waits for it and for signals: Python's handlers run
/// on its main thread only, and an answer may take minutes.
///
/// # Errors
/// An exception of a signal's handler, such as `KeyboardInterrupt`; the computation is cancelled
/// and awaited first. A panic becomes an `AnyRefError`.
pub fn run<T: Send>(
    py: Python<'_>,
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    py.detach(|| {
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel(1);
            let thread = worker().spawn_scoped(scope, move || {
                // The receiver waits until the thread has ended.
                let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
            });
            thread.map_err(|error| raised(format!("no thread can be started: {error}")))?;
            let mut interrupted = None;
            loop {
                match receive(&receiver) {
                    Received::Item(ended) => {
                        return match interrupted {
                            Some(error) => Err(error),
                            None => ended.map_err(|_| fault()),
                        };
                    }
                    Received::Interrupted(error) => {
                        cancel.cancel();
                        interrupted.get_or_insert(error);
                    }
                    Received::Closed => return Err(fault()),
                }
            }
        })
    })
}

/// Builder of the thread of a computation.
pub fn worker() -> thread::Builder {
    thread::Builder::new()
        .name("anyref".into())
        .stack_size(STACK)
}

/// Outcome of waiting for a thread.
pub enum Received<T> {
    /// Item that the thread sent.
    Item(T),
    /// Exception raised by the handler of a signal that came first.
    Interrupted(PyErr),
    /// End of the items.
    Closed,
}

/// Waits for an item or a signal, detached from Python.
pub fn receive<T>(receiver: &Receiver<T>) -> Received<T> {
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(item) => return Received::Item(item),
            Err(RecvTimeoutError::Disconnected) => return Received::Closed,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(Err(error)) = Python::try_attach(|py| py.check_signals()) {
                    return Received::Interrupted(error);
                }
            }
        }
    }
}
