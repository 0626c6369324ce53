//! Backends that run kernels.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{BoolTensor, FloatTensor, IntTensor};
use burn::tensor::{Bool, Int, Tensor, TensorPrimitive};
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use super::operation::KernelOperation;

/// Input of a kernel.
#[derive(Debug, Clone)]
pub(crate) enum Input<B: Backend> {
    Float(FloatTensor<B>),
    Int(IntTensor<B>),
    Bool(BoolTensor<B>),
}

impl<B: Backend, const D: usize> From<Tensor<B, D>> for Input<B> {
    fn from(tensor: Tensor<B, D>) -> Self {
        Self::Float(tensor.into_primitive().tensor())
    }
}

impl<B: Backend, const D: usize> From<Tensor<B, D, Int>> for Input<B> {
    fn from(tensor: Tensor<B, D, Int>) -> Self {
        Self::Int(tensor.into_primitive())
    }
}

impl<B: Backend, const D: usize> From<Tensor<B, D, Bool>> for Input<B> {
    fn from(tensor: Tensor<B, D, Bool>) -> Self {
        Self::Bool(tensor.into_primitive())
    }
}

/// Backend that runs kernels.
pub(super) trait KernelBackend: Backend {
    /// Runs an operation on inputs in its order, with outputs in its order.
    fn run<O: KernelOperation>(operation: O, inputs: Vec<Input<Self>>) -> Vec<FloatTensor<Self>>;
}

impl<R, F, I, BT> KernelBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn run<O: KernelOperation>(operation: O, inputs: Vec<Input<Self>>) -> Vec<FloatTensor<Self>> {
        let inputs = inputs.into_iter().map(|input| match input {
            Input::Float(tensor) | Input::Int(tensor) | Input::Bool(tensor) => tensor,
        });
        operation.launch(inputs.collect())
    }
}

/// Tensor of a primitive.
pub(super) fn floats<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}
