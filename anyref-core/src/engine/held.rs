//! Device of an engine: the watch over its failures, and the engine's number, which its pictures
//! carry.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use anyref_ops::{DeviceFailure, DeviceWatch, on_processor};
use burn::tensor::backend::Backend;

/// Device held by an engine.
#[derive(Debug)]
pub(super) struct Held {
    /// Number that distinguishes this engine's pictures from those of others.
    pub(super) number: u64,
    /// Watch over the device; `None` on the processor, which has no device thread, and in
    /// WebAssembly, where a panic ends the module.
    pub(super) watch: Option<DeviceWatch>,
}

impl Held {
    /// Holds a device of the backend.
    pub(super) fn start<B: Backend>() -> Self {
        static LOADED: AtomicU64 = AtomicU64::new(0);
        Self {
            number: LOADED.fetch_add(1, Ordering::Relaxed),
            watch: (!on_processor::<B>() && !cfg!(target_family = "wasm")).then(DeviceWatch::start),
        }
    }

    /// Runs work on the device.
    ///
    /// # Errors
    /// When the device fails meanwhile.
    pub(super) fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, DeviceFailure> {
        match &self.watch {
            Some(watch) => watch.run(work),
            None => Ok(work()),
        }
    }

    /// Checks that the device has not failed so far.
    pub(super) fn check(&self) -> Result<(), DeviceFailure> {
        self.watch.as_ref().map_or(Ok(()), DeviceWatch::check)
    }

    /// Wraps a future whose result is valid only if the device does not fail meanwhile.
    pub(super) fn watched<'a, T: 'a>(
        &'a self,
        future: impl Future<Output = T> + Send + 'a,
    ) -> impl Future<Output = Result<T, DeviceFailure>> + Send + 'a {
        let mut future = Box::pin(future);
        poll_fn(move |context| match &self.watch {
            None => future.as_mut().poll(context).map(Ok),
            Some(watch) => {
                let polled = watch
                    .check()
                    .and_then(|()| watch.run(|| future.as_mut().poll(context)));
                match polled {
                    Ok(polled) => polled.map(Ok),
                    Err(failure) => Poll::Ready(Err(failure)),
                }
            }
        })
    }
}
