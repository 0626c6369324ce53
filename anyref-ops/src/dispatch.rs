//! Kinds of backend, for operations with backend-specific forms.
//!
//! Operations are generic over the backend `B` and recognise it by its type. This is the only file
//! that compares types and converts tensors of a generic backend to primitives of a known one and
//! back.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use burn::tensor::backend::Backend;

#[cfg(feature = "flex")]
use burn::backend::Autodiff;
#[cfg(feature = "flex")]
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, NoCheckpointing};
#[cfg(feature = "flex")]
use burn::tensor::backend::BackendTypes;
#[cfg(feature = "flex")]
use burn::tensor::{Tensor, TensorPrimitive};
#[cfg(feature = "flex")]
use burn_flex::Flex;

/// Kind of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// Processor, `Flex`.
    Flex(FlexKind),
    /// Any other backend without gradients, treated as a GPU: buffers may be reordered and written
    /// in place.
    Gpu,
    /// Any other backend with gradients.
    GpuAutodiff,
}

/// Kind of the processor's backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlexKind {
    /// `Flex`
    Inference,
    /// `Autodiff<Flex>`
    Autodiff,
    /// `Autodiff<Flex, BalancedCheckpointing>`
    AutodiffBalanced,
}

impl BackendKind {
    /// Kind of backend `B` on one of its devices.
    pub fn of<B: Backend>(device: &B::Device) -> Self {
        match (FlexKind::of::<B>(), B::ad_enabled(device)) {
            (Some(kind), _) => Self::Flex(kind),
            (None, false) => Self::Gpu,
            (None, true) => Self::GpuAutodiff,
        }
    }

    /// Returns whether operations on the backend record a graph for gradients.
    pub fn has_gradients(self) -> bool {
        !matches!(self, Self::Flex(FlexKind::Inference) | Self::Gpu)
    }
}

impl FlexKind {
    /// Kind of backend `B`, or `None` if it is not `Flex`.
    #[cfg(feature = "flex")]
    pub fn of<B: Backend>() -> Option<Self> {
        let backend = TypeId::of::<B>();
        if backend == TypeId::of::<Flex>() {
            Some(Self::Inference)
        } else if backend == TypeId::of::<Autodiff<Flex, NoCheckpointing>>() {
            Some(Self::Autodiff)
        } else if backend == TypeId::of::<Autodiff<Flex, BalancedCheckpointing>>() {
            Some(Self::AutodiffBalanced)
        } else {
            None
        }
    }

    /// Kind of backend `B`; always `None` without the feature `flex`.
    #[cfg(not(feature = "flex"))]
    pub fn of<B: Backend>() -> Option<Self> {
        None
    }
}

/// Returns whether `B` is the processor's backend, with or without autodiff, which has fused forms
/// of its own.
pub fn on_processor<B: Backend>() -> bool {
    FlexKind::of::<B>().is_some()
}

/// Returns whether `B` is a GPU backend without autodiff, on which buffers may be reordered and
/// written in place.
pub(crate) fn on_gpu_without_gradients<B: Backend>(device: &B::Device) -> bool {
    BackendKind::of::<B>(device) == BackendKind::Gpu
}

/// Primitive of `Autodiff<Flex, _>`.
#[cfg(feature = "flex")]
pub(crate) type TrackedTensor = <Autodiff<Flex> as BackendTypes>::FloatTensorPrimitive;

/// Converts a value to the type that it is known to have.
#[cfg(feature = "flex")]
pub(crate) fn same<From: 'static, To: 'static>(value: From) -> To {
    let mut slot = Some(value);
    (&mut slot as &mut dyn Any)
        .downcast_mut::<Option<To>>()
        .and_then(Option::take)
        .expect("the backend's type was compared before")
}

/// Converts a float tensor to the primitive of the backend that `B` is known to be.
#[cfg(feature = "flex")]
pub(crate) fn to_primitive<B: Backend, const D: usize, To: 'static>(tensor: Tensor<B, D>) -> To {
    same(tensor.into_primitive().tensor())
}

/// Converts a primitive to a tensor of the backend that it is known to belong to.
#[cfg(feature = "flex")]
pub(crate) fn from_primitive<B: Backend, const D: usize, From: 'static>(
    primitive: From,
) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(same(primitive)))
}

/// Forms of one operation, at most one for each backend, looked up by the backend's type.
///
/// ```
/// use anyref_ops::dispatch::Forms;
/// use burn::tensor::{Tensor, backend::Backend};
///
/// type Double<B> = fn(Tensor<B, 1>) -> Tensor<B, 1>;
/// # fn start<Mine: Backend, Other: Backend>() {
/// let mut forms = Forms::default();
/// forms.insert::<Mine, Double<Mine>>(|x| x * 2.0);
/// assert!(forms.get::<Mine, Double<Mine>>().is_some());
/// assert!(forms.get::<Other, Double<Other>>().is_none());
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Forms(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl Forms {
    /// Sets the form of backend `B`.
    pub fn insert<B: Backend, F: Copy + Send + Sync + 'static>(&mut self, form: F) {
        self.0.insert(TypeId::of::<B>(), Box::new(form));
    }

    /// Form of backend `B`, or `None` if there is none of type `F`.
    pub fn get<B: Backend, F: Copy + 'static>(&self) -> Option<F> {
        self.0.get(&TypeId::of::<B>())?.downcast_ref().copied()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_type() {
        type Balanced = Autodiff<Flex, BalancedCheckpointing>;
        let device = Default::default();
        let kinds = [
            BackendKind::of::<Flex>(&device),
            BackendKind::of::<Autodiff<Flex>>(&device),
            BackendKind::of::<Balanced>(&device),
            // Any other backend has no fused form.
            BackendKind::of::<Autodiff<Autodiff<Flex>>>(&device),
        ];
        let expected = [
            BackendKind::Flex(FlexKind::Inference),
            BackendKind::Flex(FlexKind::Autodiff),
            BackendKind::Flex(FlexKind::AutodiffBalanced),
            BackendKind::GpuAutodiff,
        ];
        assert_eq!(kinds, expected);
        assert_eq!(
            kinds.map(BackendKind::has_gradients),
            [false, true, true, true]
        );
    }

    #[test]
    fn forms_are_found_by_backend() {
        type Form<B> = fn(Tensor<B, 1>) -> Tensor<B, 1>;
        let mut forms = Forms::default();
        forms.insert::<Flex, Form<Flex>>(|x| x * 2.0);
        let form = forms.get::<Flex, Form<Flex>>().expect("inserted");
        let doubled = form(Tensor::from_floats([1.0, -3.0], &Default::default()));
        assert_eq!(doubled.into_data().to_vec::<f32>().unwrap(), [2.0, -6.0]);
        assert!(
            forms
                .get::<Autodiff<Flex>, Form<Autodiff<Flex>>>()
                .is_none()
        );
    }
}
