//! Operations of a backend with its own form of refocusing.

use burn::backend::Autodiff;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

use super::{Objects, RefocusInput, reference};

/// Backend with its own form of refocusing. An empty implementation composes tensor operations.
///
/// [`refocus`](super::refocus) checks its arguments first: every object lies inside the keys and
/// hidden states, and there is at least one. A backend of another crate is found after a single
/// call of [`register`](super::register).
///
/// ```
/// use anyref_decoder::refocus::{RefocusBackend, has_own_form, register};
/// # use burn::backend::Autodiff;
/// # fn start<Mine: RefocusBackend>() {
/// register::<Mine>(); // and Autodiff<Mine>
/// assert!(has_own_form::<Mine>() && has_own_form::<Autodiff<Mine>>());
/// # }
/// ```
pub trait RefocusBackend: Backend {
    /// Computes the refocused states.
    ///
    /// # Shapes
    /// - query: `[n, heads, head_dim]`
    /// - key: `[b, kv_heads, T, head_dim]`
    /// - hidden: `[b, T', h]`
    /// - output: `[n, h]` in the type of `hidden`
    fn refocus(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
    ) -> FloatTensor<Self> {
        let output = reference::refocus(RefocusInput::<Self> {
            query: tensor(query),
            key: tensor(key),
            hidden: tensor(hidden),
            hidden_offset: objects.hidden_offset(),
            objects: objects.tokens().to_vec(),
            lambda: objects.lambda(),
        });
        output.into_primitive().tensor()
    }

    /// Computes the gradients of query, key and hidden states, in their shapes and types.
    ///
    /// # Shapes
    /// - gradient: `[n, h]`, the gradient of the output
    fn refocus_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
        gradient: FloatTensor<Self>,
    ) -> RefocusGradients<FloatTensor<Self>> {
        let query = Tensor::<Autodiff<Self>, 3>::from_inner(tensor(query)).require_grad();
        let key = Tensor::<Autodiff<Self>, 4>::from_inner(tensor(key)).require_grad();
        let hidden = Tensor::<Autodiff<Self>, 3>::from_inner(tensor(hidden)).require_grad();
        let output = reference::refocus(RefocusInput {
            query: query.clone(),
            key: key.clone(),
            hidden: hidden.clone(),
            hidden_offset: objects.hidden_offset(),
            objects: objects.tokens().to_vec(),
            lambda: objects.lambda(),
        });
        let loss = (output * Tensor::from_inner(tensor(gradient))).sum();
        let grads = loss.backward();
        RefocusGradients {
            query: or_zeros(query.grad(&grads), query),
            key: or_zeros(key.grad(&grads), key),
            hidden: or_zeros(hidden.grad(&grads), hidden),
        }
    }
}

/// Gradients of the arguments.
#[derive(Debug, Clone)]
pub struct RefocusGradients<T> {
    /// Gradient of the queries.
    pub query: T,
    /// Gradient of the keys.
    pub key: T,
    /// Gradient of the hidden states.
    pub hidden: T,
}

fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// Gradient of `x`, or zeros. If all spans are empty, query and key are not part of the graph.
fn or_zeros<B: Backend, const D: usize>(
    gradient: Option<Tensor<B, D>>,
    x: Tensor<Autodiff<B>, D>,
) -> FloatTensor<B> {
    let gradient = gradient.unwrap_or_else(|| x.inner().zeros_like());
    gradient.into_primitive().tensor()
}
