//! Operations that kernels compute.

use core::fmt::Debug;

use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

/// Kernel and its settings.
pub(super) trait KernelOperation: Debug + Clone + Send + Sync + 'static {
    /// Name in fusion's stream.
    fn name(&self) -> &'static str;

    /// Types of the outputs for inputs of some types.
    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType>;

    /// Launches the kernel.
    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>>;
}

/// Shape and type of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TensorType {
    pub(super) shape: Shape,
    pub(super) dtype: DType,
}

impl TensorType {
    pub(super) fn new<const D: usize>(shape: [usize; D], dtype: DType) -> Self {
        Self {
            shape: Shape::new(shape),
            dtype,
        }
    }

    /// Sizes of the dimensions.
    ///
    /// # Panics
    /// When there are not `D` dimensions.
    pub(super) fn dims<const D: usize>(&self) -> [usize; D] {
        self.shape.dims()
    }
}

/// Elements of a list of `N`, such as the inputs of an operation that takes `N`.
///
/// # Panics
/// When there is another number of them.
pub(super) fn exactly<T, const N: usize>(list: Vec<T>) -> [T; N] {
    let count = list.len();
    let Ok(list) = list.try_into() else {
        panic!("{count} tensors, not {N}");
    };
    list
}
