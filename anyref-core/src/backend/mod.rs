//! Backends by name, for programs that let their user choose one.

mod dispatch;
#[cfg(feature = "cuda")]
mod kernels;
mod name;
#[cfg(any(
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal",
    feature = "webgpu"
))]
mod wgpu;

pub use dispatch::{OnDevice, OnDevices};
pub use name::{BackendError, BackendName};
#[cfg(all(feature = "webgpu", target_family = "wasm"))]
pub use wgpu::start_in_browser;
