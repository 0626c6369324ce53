//! Names of backends, and reasons why one does not start.

use core::fmt;
use core::str::FromStr;

/// Backend; the features of a build determine which ones it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendName {
    /// Processor.
    Flex,
    /// GPU through wgpu, with any graphics interface of the system.
    Wgpu,
    /// GPU through wgpu and Vulkan.
    Vulkan,
    /// GPU through wgpu and Metal.
    Metal,
    /// GPU through wgpu and WebGPU; outside browsers, any graphics interface of the system.
    Webgpu,
    /// GPU through CUDA.
    Cuda,
}

/// Reason why a backend cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Name is unknown.
    #[error("there is no backend {0:?}: use flex, wgpu, vulkan, metal, webgpu or cuda")]
    Unknown(String),
    /// Backend is not compiled in.
    #[error("backend {0} is not compiled in: build with `--features {0}`")]
    NotCompiled(BackendName),
    /// No device was found.
    #[error("backend {0} finds no device: {remedy}", remedy = .0.driver())]
    NoDriver(BackendName),
    /// Device number is out of range.
    #[error("{backend} has no device {number}, only {count} numbered from 0")]
    NoDevice {
        /// Backend.
        backend: BackendName,
        /// Requested number.
        number: usize,
        /// Number of devices.
        count: usize,
    },
    /// Device already runs another backend; a process can use one backend per device.
    #[error(
        "device {device} already runs backend {running} in this process: use {running} or start another process for {backend}"
    )]
    Taken {
        /// Backend.
        backend: BackendName,
        /// Device.
        device: String,
        /// Backend that the device runs.
        running: BackendName,
    },
    /// Driver is missing or broken.
    #[error("the driver of backend {backend} does not start ({remedy}): {reason}", remedy = .backend.driver())]
    Driver {
        /// Backend.
        backend: BackendName,
        /// Message of the driver.
        reason: String,
    },
}

impl BackendName {
    /// All backends, compiled in or not.
    pub const ALL: [Self; 6] = [
        Self::Flex,
        Self::Wgpu,
        Self::Vulkan,
        Self::Metal,
        Self::Webgpu,
        Self::Cuda,
    ];

    /// Name of the backend, which is also that of its feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Webgpu => "webgpu",
            Self::Cuda => "cuda",
        }
    }

    /// Driver that a machine without a device lacks.
    pub(super) fn driver(self) -> &'static str {
        match self {
            Self::Flex => "it runs on any processor",
            Self::Wgpu | Self::Webgpu => {
                "install the driver of a GPU, or Mesa's lavapipe (Debian: mesa-vulkan-drivers)"
            }
            Self::Vulkan => {
                "install the Vulkan driver of a GPU, or Mesa's lavapipe (Debian: mesa-vulkan-drivers)"
            }
            Self::Metal => "it runs on Apple's systems only",
            Self::Cuda => "it needs an Nvidia GPU and its driver",
        }
    }

    /// Returns whether this build contains the backend.
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
}

impl Default for BackendName {
    /// Processor, if it is compiled in: a small model answers there before a GPU has started.
    fn default() -> Self {
        Self::ALL
            .into_iter()
            .find(|backend| backend.is_compiled())
            .unwrap_or(Self::Flex)
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for BackendName {
    type Err = BackendError;

    fn from_str(name: &str) -> Result<Self, BackendError> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| BackendError::Unknown(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for backend in BackendName::ALL {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        let error = "opencl".parse::<BackendName>().unwrap_err();
        assert!(error.to_string().contains("\"opencl\""), "{error}");
    }
}
