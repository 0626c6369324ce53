//! Errors as Python exceptions, on one line.

use std::fmt::Display;
use std::panic;
use std::sync::Mutex;

use pyo3::exceptions::PyException;
use pyo3::{PyErr, create_exception};

create_exception!(
    anyref,
    AnyRefError,
    PyException,
    "Error of a model, a picture, a sound or a question: one line that says what to change."
);

/// Message of the last panic. Some readers of broken files panic and are caught, so it is not
/// printed.
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Records messages of panics instead of printing them.
pub fn record_panics() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            let place = info
                .location()
                .map(|place| format!(" ({}:{})", place.file(), place.line()));
            let said = info.payload_as_str().unwrap_or("unknown");
            *last = Some(said.to_owned() + &place.unwrap_or_default());
        }
    }));
}

/// Message of the last panic, on one line.
pub fn last_panic() -> String {
    let last = LAST_PANIC.lock().ok().and_then(|last| last.clone());
    one_line(last.as_deref().unwrap_or("unknown"))
}

/// Exception with the error's message on one line.
pub fn raised(error: impl Display) -> PyErr {
    AnyRefError::new_err(one_line(&error.to_string()))
}

/// Exception like [`raised`], with the name of the file if the message lacks it.
pub fn raised_about(name: Option<&str>, error: impl Display) -> PyErr {
    let message = error.to_string();
    match name {
        Some(name) if !message.contains(name) => raised(format!("{name}: {message}")),
        _ => raised(message),
    }
}

/// Exception for a caught panic.
pub fn fault() -> PyErr {
    raised(format!(
        "a fault in anyref, please report it: {}",
        last_panic()
    ))
}

fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}
