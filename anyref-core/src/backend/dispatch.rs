//! Conversion of a backend's name to its type; all other code is generic over the backend.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::backend::Backend;
#[cfg(feature = "cuda")]
use cubecl::{Runtime, cuda::CudaRuntime};

#[cfg(feature = "cuda")]
use super::kernels;
use super::name::{BackendError, BackendName};
#[cfg(any(
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal",
    feature = "webgpu"
))]
use super::wgpu;

/// CUDA's message when a driver library is missing.
#[cfg(feature = "cuda")]
const NO_LIBRARY: &str = "Unable to dynamically load";

/// Work that runs on any backend.
pub trait OnDevice {
    /// Result of the work.
    type Output;

    /// Runs on `device`.
    fn run<B: Backend>(self, device: &B::Device) -> Self::Output;
}

/// Work shared by several devices of any backend.
pub trait OnDevices {
    /// Result of the work.
    type Output;

    /// Runs on `devices`, at least one.
    fn run<B: Backend>(self, devices: &[B::Device]) -> Self::Output;
}

/// Adapts work on one device to a team.
struct Single<T>(T);

impl<T: OnDevice> OnDevices for Single<T> {
    type Output = T::Output;

    fn run<B: Backend>(self, devices: &[B::Device]) -> T::Output {
        self.0.run::<B>(&devices[0])
    }
}

impl BackendName {
    /// Runs a task on device `number`, or on the backend's default.
    ///
    /// # Errors
    /// When the backend is not compiled in or has no such device.
    pub fn dispatch<T: OnDevice>(
        self,
        number: Option<usize>,
        task: T,
    ) -> Result<T::Output, BackendError> {
        self.dispatch_team(number.as_slice(), Single(task))
    }

    /// Runs a task on the devices `numbers`, or on the backend's default if empty. The processor
    /// may be listed several times. Kernels compiled by CUDA are kept in the user's cache folder
    /// for the next start of the program; a `cubecl.toml` with its own folder takes precedence.
    ///
    /// # Errors
    /// When the backend is not compiled in or lacks one of the devices.
    pub fn dispatch_team<T: OnDevices>(
        self,
        numbers: &[usize],
        task: T,
    ) -> Result<T::Output, BackendError> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => {
                for &number in numbers {
                    self.check(number, 1)?;
                }
                let devices = vec![Default::default(); numbers.len().max(1)];
                Ok(task.run::<burn::backend::Flex>(&devices))
            }
            #[cfg(feature = "wgpu")]
            Self::Wgpu => {
                let devices = of(numbers, |number| wgpu::device(self, number))?;
                Ok(task.run::<burn::backend::Wgpu>(&devices))
            }
            #[cfg(feature = "vulkan")]
            Self::Vulkan => {
                let devices = of(numbers, |number| wgpu::device(self, number))?;
                Ok(task.run::<burn::backend::Vulkan>(&devices))
            }
            #[cfg(feature = "metal")]
            Self::Metal => {
                let devices = of(numbers, |number| wgpu::device(self, number))?;
                Ok(task.run::<burn::backend::Metal>(&devices))
            }
            #[cfg(feature = "webgpu")]
            Self::Webgpu => {
                let devices = of(numbers, |number| wgpu::device(self, number))?;
                Ok(task.run::<burn::backend::WebGpu>(&devices))
            }
            #[cfg(feature = "cuda")]
            Self::Cuda => {
                kernels::keep();
                let count = self.devices()?.len();
                let devices = of(numbers, |number| {
                    let number = number.unwrap_or(0);
                    self.check(number, count)?;
                    let device = burn::backend::cuda::CudaDevice::new(number);
                    self.guarded(|| CudaRuntime::client(&device))?;
                    Ok(device)
                })?;
                Ok(task.run::<burn::backend::Cuda>(&devices))
            }
            #[allow(unreachable_patterns, reason = "a build may have all of them")]
            other => {
                // A build may have no backend that uses them.
                let _ = (numbers, task);
                Err(BackendError::NotCompiled(other))
            }
        }
    }

    /// Lists the devices, at least one, in the numbering of [`BackendName::dispatch`].
    ///
    /// # Errors
    /// When the backend is not compiled in, has no device, or its driver does not start.
    pub fn devices(self) -> Result<Vec<String>, BackendError> {
        let devices = self.enumerated()?;
        match devices.is_empty() {
            true => Err(BackendError::NoDriver(self)),
            false => Ok(devices),
        }
    }

    fn enumerated(self) -> Result<Vec<String>, BackendError> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => {
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                Ok(vec![format!("processor, {threads} threads")])
            }
            #[cfg(feature = "cuda")]
            Self::Cuda => {
                // The driver is asked, since counting a backend's devices would start one of them.
                let devices = match self.guarded(|| CudaRuntime::enumerate_devices(0, &())) {
                    Ok(devices) => devices,
                    Err(error) if error.to_string().contains(NO_LIBRARY) => Vec::new(),
                    Err(error) => return Err(error),
                };
                let names = devices
                    .iter()
                    .map(|device| format!("CUDA device {}", device.index_id));
                Ok(names.collect())
            }
            #[cfg(any(
                feature = "wgpu",
                feature = "vulkan",
                feature = "metal",
                feature = "webgpu"
            ))]
            Self::Wgpu | Self::Vulkan | Self::Metal | Self::Webgpu if self.is_compiled() => {
                wgpu::devices(self)
            }
            #[allow(unreachable_patterns, reason = "a build may have all of them")]
            other => Err(BackendError::NotCompiled(other)),
        }
    }

    /// Rejects the number of a device that does not exist.
    #[allow(dead_code, reason = "a build without any backend has no use for it")]
    pub(super) fn check(self, number: usize, count: usize) -> Result<(), BackendError> {
        if number < count {
            return Ok(());
        }
        Err(BackendError::NoDevice {
            backend: self,
            number,
            count,
        })
    }

    /// Converts the panic of a missing driver to an error.
    #[allow(dead_code, reason = "for backends with a driver only")]
    pub(super) fn guarded<T>(self, ask: impl FnOnce() -> T) -> Result<T, BackendError> {
        catch_unwind(AssertUnwindSafe(ask)).map_err(|payload| BackendError::Driver {
            backend: self,
            reason: said(payload.as_ref()),
        })
    }
}

/// Selects the devices by number, or the backend's default.
#[allow(dead_code, reason = "for backends with a driver only")]
fn of<D>(
    numbers: &[usize],
    device: impl Fn(Option<usize>) -> Result<D, BackendError>,
) -> Result<Vec<D>, BackendError> {
    if numbers.is_empty() {
        return Ok(vec![device(None)?]);
    }
    numbers.iter().map(|&number| device(Some(number))).collect()
}

/// Message of a panic, on one line.
fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Name;

    impl OnDevice for Name {
        type Output = String;

        fn run<B: Backend>(self, device: &B::Device) -> String {
            B::name(device)
        }
    }

    struct Count;

    impl OnDevices for Count {
        type Output = usize;

        fn run<B: Backend>(self, devices: &[B::Device]) -> usize {
            devices.len()
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_processor_is_one_device() {
        let name = BackendName::Flex.dispatch(Some(0), Name).unwrap();
        assert!(name.contains("flex"), "{name}");
        let error = BackendName::Flex.dispatch(Some(1), Name).unwrap_err();
        assert!(matches!(error, BackendError::NoDevice { count: 1, .. }));
        let team = |numbers: &[usize]| BackendName::Flex.dispatch_team(numbers, Count);
        assert_eq!(team(&[]), Ok(1));
        assert_eq!(team(&[0, 0, 0]), Ok(3));
        assert!(matches!(
            team(&[0, 2]),
            Err(BackendError::NoDevice { number: 2, .. })
        ));
    }

    #[cfg(not(feature = "metal"))]
    #[test]
    fn a_backend_left_out_names_its_feature() {
        let error = BackendName::Metal.dispatch(None, Name).unwrap_err();
        assert!(error.to_string().contains("--features metal"), "{error}");
    }

    #[test]
    fn a_panic_is_told_on_one_line() {
        let error = BackendName::Flex.guarded(|| panic!("no\n  adapter")).err();
        let reason = "no adapter".to_owned();
        let backend = BackendName::Flex;
        assert_eq!(error, Some(BackendError::Driver { backend, reason }));
    }
}
