//! Kernels called with tensors that may have gradients, which other kernels compute.
//!
//! Each function takes the kernel of the [`calls`], or on `Autodiff` over a backend with kernels an
//! operation of the graph: its forward pass is the kernel, and it keeps what its own backward pass
//! needs. With burn's `BalancedCheckpointing`, norms and gated activations are computed again where
//! their outputs are needed.

mod attention;
mod registry;
mod rotary;
mod tracked_losses;
mod tracked_norm;
mod tracked_swiglu;
mod untracked;

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

use self::registry::tracked_kernels;
use super::calls::{self, KernelAttention, NormParameters};

/// [`calls::attend`], with gradients of queries, keys and values.
pub(crate) fn attend<B: Backend>(input: KernelAttention<'_, B>) -> Option<Tensor<B, 4>> {
    match tracked_kernels::<B>() {
        Some(tracked) => (tracked.attend)(input),
        None => calls::attend(input),
    }
}

/// [`calls::position_products`]; `None` also for queries or tables with gradients.
pub(crate) fn position_products<B: Backend>(
    query: &Tensor<B, 4>,
    tables: [&Tensor<B, 2>; 2],
    grid: [usize; 2],
) -> Option<[Tensor<B, 4>; 2]> {
    match tracked_kernels::<B>() {
        Some(tracked) => (tracked.position_products)(query, tables, grid),
        None => calls::position_products(query, tables, grid),
    }
}

fn rows<B: Backend, const D: usize>(x: &Tensor<B, D>) -> Tensor<B, 2> {
    let width = x.dims()[D - 1];
    let count = x.dims()[..D - 1].iter().product::<usize>();
    x.clone().reshape([count, width])
}

/// [`calls::norm`], with gradients of all inputs.
pub(crate) fn norm<B: Backend, const D: usize>(
    x: &Tensor<B, D>,
    parameters: &NormParameters<B>,
) -> Option<Tensor<B, D>> {
    let Some(tracked) = tracked_kernels::<B>() else {
        return calls::norm(x, parameters);
    };
    let mut outputs = (tracked.norm)(rows(x), None, parameters).into_iter();
    outputs.next().map(|output| output.reshape(x.dims()))
}

/// [`calls::add_norm`], with gradients of all inputs.
pub(crate) fn add_norm<B: Backend, const D: usize>(
    x: &Tensor<B, D>,
    added: &Tensor<B, D>,
    parameters: &NormParameters<B>,
) -> Option<[Tensor<B, D>; 2]> {
    let Some(tracked) = tracked_kernels::<B>() else {
        return calls::add_norm(x, added, parameters);
    };
    if x.dims() != added.dims() || x.dtype() != added.dtype() {
        return None;
    }
    let outputs = (tracked.norm)(rows(x), Some(rows(added)), parameters).into_iter();
    let outputs: Vec<_> = outputs.map(|output| output.reshape(x.dims())).collect();
    outputs.try_into().ok()
}

/// [`calls::swiglu`], with gradients of both inputs.
pub(crate) fn swiglu<B: Backend, const D: usize>(
    gate: &Tensor<B, D>,
    up: &Tensor<B, D>,
) -> Option<Tensor<B, D>> {
    let Some(tracked) = tracked_kernels::<B>() else {
        return calls::swiglu(gate, up);
    };
    if gate.dims() != up.dims() || gate.dtype() != up.dtype() {
        return None;
    }
    Some((tracked.swiglu)([rows(gate), rows(up)]).reshape(gate.dims()))
}

/// [`calls::rotate`], with gradients of queries and keys.
pub(crate) fn rotate<B: Backend>(
    [query, key]: [&Tensor<B, 4>; 2],
    [cos, sin]: [&Tensor<B, 4>; 2],
) -> Option<[Tensor<B, 4>; 2]> {
    let Some(tracked) = tracked_kernels::<B>() else {
        return calls::rotate([query, key], [cos, sin]);
    };
    let dtype = query.dtype();
    if [key, cos, sin].iter().any(|x| x.dtype() != dtype) {
        return None;
    }
    let clone = |x: &Tensor<B, 4>| x.clone();
    Some((tracked.rotate)(
        [query, key].map(clone),
        [cos, sin].map(clone),
    ))
}

/// [`calls::token_losses`], with the gradient of the logits.
pub(crate) fn token_losses<B: Backend>(
    logits: &Tensor<B, 2>,
    targets: &Tensor<B, 1, Int>,
) -> Option<Tensor<B, 1>> {
    let Some(tracked) = tracked_kernels::<B>() else {
        return calls::token_losses(logits, targets);
    };
    let [rows, classes] = logits.dims();
    let taken = rows * classes > 0 && targets.dims() == [rows];
    taken.then(|| (tracked.token_losses)(logits.clone(), targets.clone()))
}
