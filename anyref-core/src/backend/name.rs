//! Names of backends, and why one does not start.

use core::fmt;
use core::str::FromStr;

/// A backend; which of them a build has is a matter of its features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendName {
    /// The processor.
    Flex,
    /// The GPU through wgpu, with whatever graphics interface the system offers.
    Wgpu,
    /// The GPU through wgpu and Vulkan.
    Vulkan,
    /// The GPU through wgpu and Metal.
    Metal,
    /// The GPU through wgpu and WebGPU, which outside of browsers is whatever the system offers.
    Webgpu,
    /// The GPU through CUDA.
    Cuda,
}

/// Why nothing runs on a backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// There is none of this name.
    #[error("there is no backend {0:?}: use flex, wgpu, vulkan, metal, webgpu or cuda")]
    Unknown(String),
    /// The build is without it.
    #[error("backend {0} is not compiled in: build with `--features {0}`")]
    NotCompiled(BackendName),
    /// There is no device at all.
    #[error("backend {0} finds no device: {remedy}", remedy = .0.driver())]
    NoDriver(BackendName),
    /// There are fewer devices.
    #[error("{backend} has no device {number}, only {count} numbered from 0")]
    NoDevice {
        /// The backend.
        backend: BackendName,
        /// The number asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// A device takes one backend in the life of a process.
    #[error(
        "device {device} already runs backend {running} in this process: use {running} or start another process for {backend}"
    )]
    Taken {
        /// The backend.
        backend: BackendName,
        /// The device.
        device: String,
        /// The backend it runs.
        running: BackendName,
    },
    /// The driver is missing or broken.
    #[error("the driver of backend {backend} does not start ({remedy}): {reason}", remedy = .backend.driver())]
    Driver {
        /// The backend.
        backend: BackendName,
        /// Message of the driver.
        reason: String,
    },
}

impl BackendName {
    /// All there are, compiled in or not.
    pub const ALL: [Self; 6] = [
        Self::Flex,
        Self::Wgpu,
        Self::Vulkan,
        Self::Metal,
        Self::Webgpu,
        Self::Cuda,
    ];

    /// The name, which is also that of the feature.
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
}

impl Default for BackendName {
    /// The processor where it is compiled in: a small model answers there before a GPU has started.
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
