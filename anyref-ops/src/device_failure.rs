//! Failures of devices, detected by panics on the threads that serve them.
//!
//! The device threads of CubeCL 0.10 catch their panics and go on, so that results computed after
//! one are wrong without an error. A [`DeviceWatch`] records them.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};
use std::thread;

/// Failure of a device; results computed since are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFailure {
    /// Buffer could not be allocated.
    #[error(
        "the device has no room for a buffer of {:.0} MB: use a smaller model, half precision or another backend",
        *bytes as f64 / 1e6
    )]
    OutOfMemory {
        /// Size of the buffer.
        bytes: u64,
    },
    /// Thread that serves the device panicked.
    #[error("the device failed and its results are wrong, start again: {reason}")]
    Panicked {
        /// Message of the panic and its place in the sources, on one line.
        reason: String,
    },
}

/// Record of device failures since its creation. Clones share it.
#[derive(Debug, Clone)]
pub struct DeviceWatch {
    first: Arc<OnceLock<DeviceFailure>>,
}

/// Watches that are still referenced.
static WATCHES: Mutex<Vec<Weak<OnceLock<DeviceFailure>>>> = Mutex::new(Vec::new());

impl DeviceWatch {
    /// Starts a watch. The first call in a process installs a panic hook that records device
    /// failures and passes all other panics to the previous hook, except those that follow a
    /// failure.
    pub fn start() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let hook = panic::take_hook();
            panic::set_hook(Box::new(move |info| match failure(info) {
                Some(failure) => record(&failure),
                None if has_failed() => {}
                None => hook(info),
            }));
        });
        let first = Arc::new(OnceLock::new());
        let mut watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&first));
        Self { first }
    }

    /// First failure of any device since [`start`](Self::start).
    pub fn failure(&self) -> Option<DeviceFailure> {
        self.first.get().cloned()
    }

    /// Returns the first failure as an error.
    ///
    /// # Errors
    /// When a device failed since [`start`](Self::start).
    pub fn check(&self) -> Result<(), DeviceFailure> {
        self.failure().map_or(Ok(()), Err)
    }

    /// Runs a function whose result is valid only if no device fails meanwhile. A panic of the
    /// function is resumed unless it follows a failure.
    ///
    /// # Errors
    /// When a device failed since [`start`](Self::start).
    pub fn run<T>(&self, function: impl FnOnce() -> T) -> Result<T, DeviceFailure> {
        let ended = catch_unwind(AssertUnwindSafe(function));
        self.check()?;
        ended.or_else(|panic| resume_unwind(panic))
    }
}

/// Returns whether any live watch has recorded a failure.
fn has_failed() -> bool {
    let watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut held = watches.iter().filter_map(Weak::upgrade);
    held.any(|first| first.get().is_some())
}

fn record(failure: &DeviceFailure) {
    let watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
    for watch in watches.iter().filter_map(Weak::upgrade) {
        // Later failures follow from the first.
        let _ = watch.set(failure.clone());
    }
}

/// Failure described by a panic; `None` if the panic is not a device's.
fn failure(info: &PanicHookInfo<'_>) -> Option<DeviceFailure> {
    let message = info.payload_as_str().unwrap_or("no reason given");
    if let Some(bytes) = lacking(message) {
        return Some(DeviceFailure::OutOfMemory { bytes });
    }
    let file = info.location().map_or("", |place| place.file());
    if !serves_device(thread::current().name(), file) {
        return None;
    }
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = info.location().map(|place| {
        let file = file.rsplit_once("/src/").map_or(file, |(_, file)| file);
        format!(" ({file}:{})", place.line())
    });
    Some(DeviceFailure::Panicked {
        reason: message + &place.unwrap_or_default(),
    })
}

/// Size in bytes of the allocation that CubeCL reports as failed.
fn lacking(message: &str) -> Option<u64> {
    let (_, size) = message.split_once("can't allocate buffer of size: ")?;
    size.split_whitespace().next()?.parse().ok()
}

/// Returns whether a thread that panicked in `file` serves a device. CubeCL names its device
/// threads `DSU-0-0` or `DSD-0-0`, by stage, type and index; its helper threads are unnamed.
fn serves_device(name: Option<&str>, file: &str) -> bool {
    match name {
        Some(name) => name.starts_with("DSU-") || name.starts_with("DSD-"),
        None => file.contains("cubecl-") || file.contains("wgpu"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    /// Panics like a device thread of CubeCL, which then carries on.
    fn panic_on(name: &str, message: &'static str) {
        let thread = thread::Builder::new().name(name.into());
        let caught = thread.spawn(move || catch_unwind(|| panic!("{message}")).is_err());
        assert!(caught.unwrap().join().unwrap());
    }

    #[test]
    fn a_buffer_that_does_not_fit_is_known_by_its_size() {
        // Panic message of cubecl 0.10's servers.
        let said = "called `Result::unwrap()` on an `Err` value: can't allocate buffer of size: 136314880\nNo backtrace \
                    available";
        assert_eq!(lacking(said), Some(136_314_880));
        assert_eq!(lacking("index out of bounds"), None);
        let failure = DeviceFailure::OutOfMemory { bytes: 136_314_880 };
        assert!(failure.to_string().contains("136 MB"), "{failure}");
    }

    #[test]
    fn panics_of_devices_are_recorded_and_others_are_not() {
        let watch = DeviceWatch::start();
        panic_on("loader", "a file is damaged");
        assert_eq!(watch.check(), Ok(()));
        panic_on("DSU-0-0", "a kernel\n  does not compile");
        let failure = watch.failure().unwrap().to_string();
        assert!(failure.contains("a kernel does not compile (device_failure.rs:"));
        assert!(!failure.contains('\n'), "{failure}");
        // A panic that follows the failure does not replace it.
        panic_on("DSU-0-0", "can't allocate buffer of size: 64");
        assert_eq!(watch.failure().unwrap().to_string(), failure);
        let later = DeviceWatch::start();
        assert_eq!(later.check(), Ok(()));
        // No result counts after a failure, whether the function returns or panics.
        assert!(watch.run(|| 5).is_err());
        assert!(watch.run(|| panic!("no answer of the device")).is_err());
        assert_eq!(later.run(|| 5), Ok(5));
    }

    #[test]
    fn helpers_of_devices_have_no_name() {
        let helper = "/registry/cubecl-runtime-0.10.0/src/stream/event.rs";
        assert!(serves_device(None, helper));
        assert!(!serves_device(Some("main"), helper));
        assert!(!serves_device(None, "/registry/rayon-1.0.0/src/lib.rs"));
        assert!(serves_device(Some("DSD-1-0"), "anywhere.rs"));
    }
}
