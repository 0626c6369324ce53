//! Fused forms on the CPU backend `Flex`, with and without autodiff.
//!
//! The operations are generic over the backend; which one it is becomes known by its type. Each
//! function here gives its arguments back unchanged when it has no fused form for them (another
//! backend, another type than f32), and the caller goes on with the composed form.

mod activation;
mod attention;
mod buffer;
mod instruction_set;
mod linear;
mod math;
mod norm;
mod pack;
mod permute;
mod product;
mod rotary;
mod rows;
mod shared;
mod simd;
pub mod slices;
mod swiglu;
#[cfg(test)]
mod tests;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, NoCheckpointing};
use burn::tensor::backend::{Backend, BackendTypes};
use burn::tensor::{DType, Tensor, TensorPrimitive};
use burn_flex::{Flex, FlexTensor};
use core::any::{Any, TypeId};

pub(crate) use activation::{Activation, activation};
pub(crate) use attention::attention;
pub(crate) use linear::{LinearInput, linear};
pub(crate) use norm::{NormInput, norm};
pub(crate) use permute::permute;
pub(crate) use rotary::rotary;
pub(crate) use rows::assign_rows;
pub(crate) use shared::add_shared;
pub(crate) use swiglu::swiglu;

/// A tensor of `Autodiff<Flex, _>`.
pub(crate) type TrackedTensor = <Autodiff<Flex> as BackendTypes>::FloatTensorPrimitive;

/// The backends that have fused forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `Flex`
    Inference,
    /// `Autodiff<Flex>`
    Autodiff,
    /// `Autodiff<Flex, BalancedCheckpointing>`
    AutodiffBalanced,
}

/// Which fused form backend `B` has.
pub(crate) fn route<B: Backend>() -> Option<Route> {
    let backend = TypeId::of::<B>();
    if backend == TypeId::of::<Flex>() {
        Some(Route::Inference)
    } else if backend == TypeId::of::<Autodiff<Flex, NoCheckpointing>>() {
        Some(Route::Autodiff)
    } else if backend == TypeId::of::<Autodiff<Flex, BalancedCheckpointing>>() {
        Some(Route::AutodiffBalanced)
    } else {
        None
    }
}

/// The same value under the type that it is known to have.
fn same<From: 'static, To: 'static>(value: From) -> To {
    let mut slot = Some(value);
    (&mut slot as &mut dyn Any)
        .downcast_mut::<Option<To>>()
        .and_then(Option::take)
        .expect("the backend's type was compared before")
}

/// The f32 tensor as backend primitive `To`.
pub(crate) fn unwrap<B: Backend, const D: usize, To: 'static>(tensor: Tensor<B, D>) -> To {
    same(tensor.into_primitive().tensor())
}

/// A primitive as a tensor of the backend that it is known to belong to.
pub(crate) fn wrap<B: Backend, const D: usize, From: 'static>(primitive: From) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(same(primitive)))
}

/// Every tensor is f32.
pub(crate) fn all_f32(dtypes: &[DType]) -> bool {
    dtypes.iter().all(|&dtype| dtype == DType::F32)
}

/// The values of a tensor that [`buffer::contiguous`] returned.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}
