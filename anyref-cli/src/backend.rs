//! The only file of this binary that names backends.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, bail};
use burn::tensor::backend::Backend;
use clap::ValueEnum;

/// Backends by name; those not compiled in say how to get them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    /// The processor
    Flex,
    /// The GPU through wgpu, with whatever graphics interface the system offers
    Wgpu,
    /// The GPU through wgpu and Vulkan
    Vulkan,
    /// The GPU through wgpu and Metal
    Metal,
    /// The GPU through wgpu and WebGPU
    Webgpu,
    /// The GPU through CUDA
    Cuda,
}

impl Default for BackendName {
    /// The processor where it is compiled in: a small model answers there before a GPU has started.
    fn default() -> Self {
        BackendName::value_variants()
            .iter()
            .copied()
            .find(|backend| backend.is_compiled())
            .unwrap_or(Self::Flex)
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Webgpu => "webgpu",
            Self::Cuda => "cuda",
        })
    }
}

/// Work that runs on any backend.
pub trait Task {
    /// Runs on a device.
    fn run<B: Backend>(self, device: &B::Device) -> Result<()>;
}

impl BackendName {
    /// Whether this build has it.
    pub fn is_compiled(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Webgpu => cfg!(feature = "webgpu"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// Runs a task here, on device `number` or the backend's own choice.
    ///
    /// # Errors
    /// When the backend is not compiled in or has no such device, or the task fails.
    pub fn dispatch<T: Task>(self, number: Option<usize>, task: T) -> Result<()> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => {
                self.check(number, 1)?;
                task.run::<burn::backend::Flex>(&Default::default())
            }
            #[cfg(feature = "wgpu")]
            Self::Wgpu => {
                let device = wgpu_device(self, number)?;
                task.run::<burn::backend::Wgpu>(&device)
            }
            #[cfg(feature = "vulkan")]
            Self::Vulkan => {
                use burn::backend::wgpu::{graphics, init_setup};
                let device = wgpu_device(self, number)?;
                init_setup::<graphics::Vulkan>(&device, Default::default());
                task.run::<burn::backend::Vulkan>(&device)
            }
            #[cfg(feature = "metal")]
            Self::Metal => {
                use burn::backend::wgpu::{graphics, init_setup};
                let device = wgpu_device(self, number)?;
                init_setup::<graphics::Metal>(&device, Default::default());
                task.run::<burn::backend::Metal>(&device)
            }
            #[cfg(feature = "webgpu")]
            Self::Webgpu => {
                use burn::backend::wgpu::{graphics, init_setup};
                let device = wgpu_device(self, number)?;
                init_setup::<graphics::WebGpu>(&device, Default::default());
                task.run::<burn::backend::WebGpu>(&device)
            }
            #[cfg(feature = "cuda")]
            Self::Cuda => {
                let number = number.unwrap_or(0);
                self.check(Some(number), self.devices()?.len())?;
                task.run::<burn::backend::Cuda>(&burn::backend::cuda::CudaDevice::new(number))
            }
            #[allow(unreachable_patterns)]
            other => bail!(
                "backend {other} is not compiled in: build with `cargo build --release -p anyref-cli --features {other}`"
            ),
        }
    }

    /// The devices, by the numbers that `--device` takes.
    ///
    /// # Errors
    /// When the backend is not compiled in or its driver does not start.
    pub fn devices(self) -> Result<Vec<String>> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => {
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                Ok(vec![format!("processor, {threads} threads")])
            }
            #[cfg(feature = "cuda")]
            Self::Cuda => {
                let count = guarded(|| burn::backend::Cuda::<f32>::device_count(0))?;
                Ok((0..count)
                    .map(|number| format!("CUDA device {number}"))
                    .collect())
            }
            #[cfg(any(
                feature = "wgpu",
                feature = "vulkan",
                feature = "metal",
                feature = "webgpu"
            ))]
            Self::Wgpu | Self::Vulkan | Self::Metal | Self::Webgpu if self.is_compiled() => {
                let kinds = ["discrete GPU", "integrated GPU", "virtual GPU", "processor"];
                let counts = guarded(|| {
                    [0, 1, 2, 3].map(<burn::backend::wgpu::Wgpu as Backend>::device_count)
                })?;
                Ok(kinds
                    .iter()
                    .zip(counts)
                    .flat_map(|(kind, count)| (0..count).map(move |i| format!("{kind} {i}")))
                    .collect())
            }
            #[allow(unreachable_patterns)]
            other => bail!("not compiled in: build with `--features {other}`"),
        }
    }

    /// Refuses a number that no device has.
    #[allow(dead_code, reason = "a build without flex and cuda has no use for it")]
    fn check(self, number: Option<usize>, count: usize) -> Result<()> {
        match number {
            Some(number) if number >= count => bail!(
                "{self} has no device {number}, only {count} numbered from 0: see `anyref info --devices`"
            ),
            _ => Ok(()),
        }
    }
}

/// Drivers that are not there panic rather than return an error.
#[allow(dead_code, reason = "for backends with a driver only")]
fn guarded<T>(ask: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(ask)).map_err(|_| {
        anyhow::anyhow!(
            "the driver does not start: {}",
            crate::failure::last_panic()
        )
    })
}

/// The device of a number, in the order of [`BackendName::devices`].
#[cfg(any(
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal",
    feature = "webgpu"
))]
fn wgpu_device(
    backend: BackendName,
    number: Option<usize>,
) -> Result<burn::backend::wgpu::WgpuDevice> {
    use burn::backend::wgpu::WgpuDevice;
    let Some(number) = number else {
        return Ok(WgpuDevice::DefaultDevice);
    };
    let devices = backend.devices()?;
    backend.check(Some(number), devices.len())?;
    let kind = devices[number].trim_end_matches(char::is_numeric);
    let index = devices[..number]
        .iter()
        .filter(|device| device.starts_with(kind))
        .count();
    Ok(match kind.trim() {
        "discrete GPU" => WgpuDevice::DiscreteGpu(index),
        "integrated GPU" => WgpuDevice::IntegratedGpu(index),
        "virtual GPU" => WgpuDevice::VirtualGpu(index),
        _ => WgpuDevice::Cpu,
    })
}
