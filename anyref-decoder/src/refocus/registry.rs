//! Forms of all backends, both this crate's and registered ones.

use std::sync::{OnceLock, PoisonError, RwLock};

use anyref_ops::dispatch::Forms;
use burn::tensor::{Tensor, backend::Backend};

use super::form::{Form, add_with_autodiff, form_of};
use super::{RefocusBackend, RefocusInput};

/// Registers a backend's own form, and that of `Autodiff` over it, for [`refocus`](super::refocus).
/// The backends supported by this crate need not be registered.
pub fn register<B: RefocusBackend>() {
    let mut forms = forms().write().unwrap_or_else(PoisonError::into_inner);
    add_with_autodiff::<B>(&mut forms);
}

/// Makes [`refocus`](super::refocus) use `form` on backend `B`, in the place of any other. For
/// backends whose type belongs to another crate, which cannot implement [`RefocusBackend`]; for
/// gradients the form has to be differentiable on `B` itself.
///
/// `form` is given inputs that fit together, with at least one object, and returns the refocused
/// states, `[n, h]` in the type of the hidden states.
pub fn register_form<B: Backend>(form: fn(RefocusInput<B>) -> Tensor<B, 2>) {
    let mut forms = forms().write().unwrap_or_else(PoisonError::into_inner);
    forms.insert::<B, Form<B>>(form);
}

/// Returns whether [`refocus`](super::refocus) uses the backend's own form, as opposed to composed
/// tensor operations.
pub fn has_own_form<B: Backend>() -> bool {
    form::<B>().is_some()
}

/// Own form of a backend.
pub(super) fn form<B: Backend>() -> Option<Form<B>> {
    form_of::<B>(&forms().read().unwrap_or_else(PoisonError::into_inner))
}

fn forms() -> &'static RwLock<Forms> {
    static FORMS: OnceLock<RwLock<Forms>> = OnceLock::new();
    FORMS.get_or_init(|| {
        #[allow(unused_mut, reason = "a build without any backend has none")]
        let mut forms = Forms::default();
        #[cfg(feature = "flex")]
        add_with_autodiff::<burn_flex::Flex>(&mut forms);
        #[cfg(feature = "cube")]
        super::cube::each_backend(&mut forms);
        RwLock::new(forms)
    })
}
