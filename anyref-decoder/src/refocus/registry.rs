//! Which backend has a form of its own. Code that is generic over all backends knows them by type only.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::BalancedCheckpointing;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};

use super::{RefocusBackend, RefocusInput};

/// A backend's own form.
pub(super) type Form<B> = fn(RefocusInput<B>) -> Tensor<B, 2>;

/// A [`Form`] of each backend.
pub(super) type Forms = HashMap<TypeId, Box<dyn Any + Send + Sync>>;

/// Makes [`refocus`](super::refocus) use a backend's own form, and that of `Autodiff` over it. Those of this crate
/// need not be registered.
pub fn register<B: RefocusBackend>() {
    let mut forms = forms().write().unwrap_or_else(PoisonError::into_inner);
    add_with_autodiff::<B>(&mut forms);
}

/// Whether [`refocus`](super::refocus) has a form of the backend's own, rather than composing tensor operations.
pub fn has_own_form<B: Backend>() -> bool {
    form::<B>().is_some()
}

/// The backend's own form.
pub(super) fn form<B: Backend>() -> Option<Form<B>> {
    let forms = forms().read().unwrap_or_else(PoisonError::into_inner);
    forms.get(&TypeId::of::<B>())?.downcast_ref().copied()
}

fn forms() -> &'static RwLock<Forms> {
    static FORMS: OnceLock<RwLock<Forms>> = OnceLock::new();
    FORMS.get_or_init(|| {
        #[allow(unused_mut, reason = "a build without any backend has none")]
        let mut forms = Forms::new();
        #[cfg(feature = "flex")]
        add_with_autodiff::<burn_flex::Flex>(&mut forms);
        #[cfg(feature = "cube")]
        super::cube::each_backend(&mut forms);
        RwLock::new(forms)
    })
}

pub(super) fn add_with_autodiff<B: RefocusBackend>(forms: &mut Forms) {
    add::<B>(forms);
    add::<Autodiff<B>>(forms);
    add::<Autodiff<B, BalancedCheckpointing>>(forms);
}

fn add<B: RefocusBackend>(forms: &mut Forms) {
    let form: Form<B> = own;
    forms.insert(TypeId::of::<B>(), Box::new(form));
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
