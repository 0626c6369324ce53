//! Errors of the GPU. A browser tells them apart from the call that caused them, whose values are
//! then wrong without a word: they are logged, and end the next call.

use std::sync::{Mutex, OnceLock, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

/// Beginnings of the names of modules that compute on a GPU, or listen to it.
const SOURCES: [&str; 4] = ["anyref_core::backend", "burn", "cubecl", "wgpu"];

/// First error since the last look.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Logger of errors, which keeps the first of the GPU.
struct Errors {
    /// Receiver of all of them.
    shown: OnceLock<fn(&str)>,
}

static ERRORS: Errors = Errors {
    shown: OnceLock::new(),
};

impl Log for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Error
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let error = record.args().to_string();
            if let Some(shown) = self.shown.get() {
                shown(&error);
            }
            if !SOURCES.iter().any(|name| record.target().starts_with(name)) {
                return;
            }
            let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
        }
    }

    fn flush(&self) {}
}

/// Listens to errors from now on; `shown` is given each as well.
pub(crate) fn listen(shown: fn(&str)) {
    ERRORS.shown.get_or_init(|| shown);
    // A second start finds the first one's logger.
    let _ = log::set_logger(&ERRORS);
    log::set_max_level(LevelFilter::Error);
}

/// Takes the first error since the last look.
pub(crate) fn take() -> Option<String> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_kept_until_it_is_taken() {
        listen(|_| {});
        log::warn!("a warning");
        assert_eq!(take(), None);
        log::error!(target: "anyref_api", "a question failed");
        assert_eq!(take(), None);
        log::error!(target: "cubecl_wgpu::backend", "no {}", "shader");
        log::error!(target: "anyref_core::backend::wgpu", "no pipeline");
        assert_eq!(take().as_deref(), Some("no shader"));
        assert_eq!(take(), None);
    }
}
