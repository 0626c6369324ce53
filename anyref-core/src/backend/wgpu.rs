//! Devices of the wgpu backends, which differ only in their graphics interface. WebGPU itself
//! exists only in browsers; elsewhere wgpu maps it to the system's interfaces.

use std::sync::{Mutex, PoisonError};

use burn::backend::wgpu::graphics::{AutoGraphicsApi, GraphicsApi, Metal, Vulkan};
#[cfg(not(target_family = "wasm"))]
use burn::backend::wgpu::init_setup;
use burn::backend::wgpu::{WgpuDevice, WgpuRuntime};
use cubecl::Runtime;

use super::name::{BackendError, BackendName};

/// Kinds of devices, in burn's numbering.
const KINDS: [&str; 4] = ["discrete GPU", "integrated GPU", "virtual GPU", "processor"];

/// Lists the devices, if any, by kind and number within the kind, without starting them.
pub(super) fn devices(backend: BackendName) -> Result<Vec<String>, BackendError> {
    backend.guarded(|| {
        let count = |kind| match backend {
            BackendName::Vulkan => WgpuRuntime::enumerate_devices(kind, &Vulkan::backend()),
            BackendName::Metal => WgpuRuntime::enumerate_devices(kind, &Metal::backend()),
            _ => WgpuRuntime::enumerate_devices(kind, &AutoGraphicsApi::backend()),
        };
        KINDS
            .iter()
            .zip(0..)
            .flat_map(|(kind, number)| {
                (0..count(number).len()).map(move |index| format!("{kind} {index}"))
            })
            .collect()
    })
}

/// Starts and returns the device of a number, in the order of [`BackendName::devices`], or the
/// default one.
pub(super) fn device(
    backend: BackendName,
    number: Option<usize>,
) -> Result<WgpuDevice, BackendError> {
    let devices = backend.devices()?;
    backend.check(number.unwrap_or(0), devices.len())?;
    let Some(number) = number else {
        start(backend, &WgpuDevice::DefaultDevice)?;
        return Ok(WgpuDevice::DefaultDevice);
    };
    let kind = devices[number].trim_end_matches(char::is_numeric);
    let index = devices[..number]
        .iter()
        .filter(|device| device.starts_with(kind))
        .count();
    let device = match kind.trim() {
        "discrete GPU" => WgpuDevice::DiscreteGpu(index),
        "integrated GPU" => WgpuDevice::IntegratedGpu(index),
        "virtual GPU" => WgpuDevice::VirtualGpu(index),
        _ => WgpuDevice::Cpu,
    };
    start(backend, &device)?;
    Ok(device)
}

/// Devices that have started, each with its backend.
static STARTED: Mutex<Vec<(WgpuDevice, BackendName)>> = Mutex::new(Vec::new());

/// Starts a device with the backend's graphics interface, once in a process.
fn start(backend: BackendName, device: &WgpuDevice) -> Result<(), BackendError> {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    match started.iter().find(|(other, _)| other == device) {
        Some(&(_, running)) if running == backend => return Ok(()),
        Some(&(_, running)) => {
            return Err(BackendError::Taken {
                backend,
                device: format!("{device:?}"),
                running,
            });
        }
        None => {}
    }
    start_new(backend, device)?;
    started.push((device.clone(), backend));
    Ok(())
}

/// Starts a device. A driver without devices is reported here rather than by a panic later.
#[cfg(not(target_family = "wasm"))]
fn start_new(backend: BackendName, device: &WgpuDevice) -> Result<(), BackendError> {
    backend.guarded(|| match backend {
        BackendName::Vulkan => init_setup::<Vulkan>(device, Default::default()),
        BackendName::Metal => init_setup::<Metal>(device, Default::default()),
        _ => init_setup::<AutoGraphicsApi>(device, Default::default()),
    })?;
    Ok(())
}

/// Refuses: a browser's device cannot be waited for.
#[cfg(target_family = "wasm")]
fn start_new(backend: BackendName, _: &WgpuDevice) -> Result<(), BackendError> {
    Err(BackendError::Driver {
        backend,
        reason: "await start_in_browser before".to_owned(),
    })
}

/// Starts the browser's device, once in a module, for [`load_engine`](crate::load_engine) on
/// [`BackendName::Webgpu`].
///
/// # Panics
/// In a browser without WebGPU: request an adapter before the call.
#[cfg(target_family = "wasm")]
pub async fn start_in_browser() {
    use burn::backend::wgpu::graphics::WebGpu;
    let device = WgpuDevice::DefaultDevice;
    let is_there =
        |started: &[(WgpuDevice, BackendName)]| started.iter().any(|(other, _)| *other == device);
    if is_there(&STARTED.lock().unwrap_or_else(PoisonError::into_inner)) {
        return;
    }
    let setup = burn::backend::wgpu::init_setup_async::<WebGpu>(&device, Default::default()).await;
    // A browser tells errors apart from the calls that caused them.
    setup
        .device
        .on_uncaptured_error(std::sync::Arc::new(log_error));
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    started.push((device, BackendName::Webgpu));
}

/// Logs an error of the device.
#[cfg(target_family = "wasm")]
fn log_error<E: std::fmt::Display>(error: E) {
    log::error!("{error}");
}

#[cfg(all(test, feature = "vulkan"))]
mod tests {
    use burn::tensor::backend::Backend;

    use super::super::OnDevice;
    use super::*;

    struct Double;

    impl OnDevice for Double {
        type Output = Vec<f32>;

        fn run<B: Backend>(self, device: &B::Device) -> Vec<f32> {
            let tensor = burn::tensor::Tensor::<B, 1>::from_floats([1.0, 2.5], device) * 2.0;
            tensor.into_data().to_vec().unwrap()
        }
    }

    #[test]
    fn a_device_starts_once_and_serves_again() {
        let vulkan = BackendName::Vulkan;
        assert!(!vulkan.devices().unwrap().is_empty());
        for number in [None, Some(0), None] {
            assert_eq!(vulkan.dispatch(number, Double), Ok(vec![2.0, 5.0]));
        }
        let error = vulkan.dispatch(Some(99), Double).unwrap_err();
        assert!(matches!(error, BackendError::NoDevice { number: 99, .. }));
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn a_device_keeps_its_backend() {
        let taken = |backend: BackendName| backend.dispatch(None, Double);
        let first = taken(BackendName::Vulkan);
        assert!(first.is_ok(), "{first:?}");
        let error = taken(BackendName::Wgpu).unwrap_err();
        assert!(matches!(error, BackendError::Taken { .. }), "{error}");
    }
}
