//! Refocusing: adds to an object's state the attention-weighted mean of the states before it.
//!
//! The state `h_p` that predicts an object token becomes a mask. The preceding words often name the
//! object better than that state, and the model's own attention indicates the relevant ones. With
//! `a_j` the last layer's attention of position `p`, averaged over heads, and `[start, end)` the
//! span of states that generated the answer,
//!
//! ```text
//! h'_p = h_p + λ · Σ_j (a_j / Σ_k a_k) · h_j        j, k in [start, end)
//! ```
//!
//! Only the object's row of the attention is computed. The weights are computed from logarithms in
//! f32, so that they stay exact and finite even if the attention to the whole span underflows. An
//! empty span leaves the state unchanged.
//!
//! Every backend has it as a composition of tensor operations ([`mod@reference`]). Backends with a
//! form of their own implement [`RefocusBackend`]: `Flex` on all cores, GPUs by kernels, with and
//! without fusion, and `Autodiff` over any of these with a backward pass that recomputes the
//! attention instead of keeping it. [`register`] and [`register_form`] add another backend's;
//! [`has_own_form`] tells what runs.

mod autodiff;
mod backend;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod form;
#[cfg(feature = "cube")]
mod fusion;
mod input;
#[cfg(feature = "cube")]
mod kernel;
mod objects;
#[doc(hidden)]
pub mod reference;
mod registry;

pub use backend::{RefocusBackend, RefocusGradients};
pub use input::RefocusInput;
pub use objects::{ObjectToken, Objects};
pub use registry::{has_own_form, register, register_form};

use burn::tensor::{Tensor, backend::Backend};

/// Attention with which refocusing weighs states, for visualisation: that of each object's state
/// over its whole context, averaged over the last layer's heads. [`refocus`] itself never
/// materialises it.
///
/// # Shapes
/// - query: `[n, heads, head_dim]`, one an object
/// - key: `[b, kv_heads, T, head_dim]`
/// - output: `[n, T]` in f32; rows sum to 1, and are 0 outside the context
///
/// # Panics
/// When `heads` is not a multiple of `kv_heads`.
pub fn object_attention<B: Backend>(
    query: Tensor<B, 3>,
    key: Tensor<B, 4>,
    objects: &[ObjectToken],
) -> Tensor<B, 2> {
    reference::object_attention(query, key, objects)
}

/// Refocuses the state of every object. Gradients flow to query, key and hidden states.
///
/// Uses the backend's own form if it has one, see [`has_own_form`], and composes tensor operations
/// otherwise. Both compute scores, weights and sums in f32, regardless of the type of the tensors.
///
/// # Shapes
/// - output: `[n, h]`
///
/// # Panics
/// When an object lies outside the keys or the hidden states, or the shapes of tensors and objects
/// do not match.
pub fn refocus<B: Backend>(input: RefocusInput<B>) -> Tensor<B, 2> {
    input.check();
    if input.objects.is_empty() {
        let width = input.hidden.dims()[2];
        return Tensor::empty([0, width], (&input.hidden.device(), input.hidden.dtype()));
    }
    match registry::form::<B>() {
        Some(form) => form(input),
        None => reference::refocus(input),
    }
}
