//! Form of a backend: its implementation of refocusing, as a function over tensors.

use anyref_ops::dispatch::Forms;
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::BalancedCheckpointing;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};

use super::{RefocusBackend, RefocusInput};

/// Own form of a backend.
pub(super) type Form<B> = fn(RefocusInput<B>) -> Tensor<B, 2>;

/// Form of backend `B`; `None` where tensor operations are composed.
pub(super) fn form_of<B: Backend>(forms: &Forms) -> Option<Form<B>> {
    forms.get::<B, Form<B>>()
}

/// Adds the forms of a backend and of `Autodiff` over it.
pub(super) fn add_with_autodiff<B: RefocusBackend>(forms: &mut Forms) {
    forms.insert::<B, Form<B>>(own);
    forms.insert::<Autodiff<B>, Form<Autodiff<B>>>(own);
    type Balanced<B> = Autodiff<B, BalancedCheckpointing>;
    forms.insert::<Balanced<B>, Form<Balanced<B>>>(own);
}

fn own<B: RefocusBackend>(input: RefocusInput<B>) -> Tensor<B, 2> {
    let (query, key, hidden, objects) = input.split();
    let output = B::refocus(
        query.into_primitive().tensor(),
        key.into_primitive().tensor(),
        hidden.into_primitive().tensor(),
        objects,
    );
    Tensor::from_primitive(TensorPrimitive::Float(output))
}
