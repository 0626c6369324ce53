//! Fixture files for tests.

use std::path::Path;

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::checkpoint::Checkpoint;

/// Tensors of a fixture file.
#[derive(Debug, Clone)]
pub struct Fixture(Checkpoint);

impl Fixture {
    /// Opens a fixture.
    ///
    /// # Panics
    /// When the file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Self {
        Self(Checkpoint::open(path).unwrap_or_else(|e| panic!("{e}")))
    }

    /// Underlying checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.0
    }

    /// Values of a tensor.
    ///
    /// # Panics
    /// When there is no tensor of this name, or it cannot be read.
    pub fn data(&self, name: &str) -> TensorData {
        self.0
            .require(name)
            .and_then(|tensor| tensor.read())
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// Float tensor of a name.
    ///
    /// # Panics
    /// When there is no tensor of this name and rank.
    pub fn tensor<B: Backend, const D: usize>(
        &self,
        name: &str,
        device: &B::Device,
    ) -> Tensor<B, D> {
        Tensor::from_data(self.data(name), device)
    }

    /// Integer tensor of a name.
    ///
    /// # Panics
    /// When there is no tensor of this name and rank.
    pub fn int_tensor<B: Backend, const D: usize>(
        &self,
        name: &str,
        device: &B::Device,
    ) -> Tensor<B, D, Int> {
        Tensor::from_data(self.data(name), device)
    }
}
