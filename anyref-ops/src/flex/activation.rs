//! Activations, forward and backward in one pass each.

use super::buffer::{all_f32, fill_chunks, tensor, values};
use super::contiguous::contiguous;
use super::math::{erf, exp, sigmoid};
use super::simd::{Kernel, Simd, dispatch, mul_add};
use crate::dispatch::{FlexKind, TrackedTensor, from_primitive, to_primitive};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorMetadata};
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

/// Values of a task: enough to amortise its start, few enough to stay in cache.
pub(super) const CHUNK: usize = 16 * 1024;

/// Activation of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x · Φ(x)`
    Gelu,
    /// `x · sigmoid(1.702 x)`
    QuickGelu,
    /// `x · sigmoid(x)`
    Silu,
}

/// Function and its derivative.
pub(super) trait Function: Copy + Send + Sync {
    fn value<S: Simd>(x: f32) -> f32;
    fn slope<S: Simd>(x: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn value<S: Simd>(x: f32) -> f32 {
        let y = 0.5 * x * (1.0 + erf::<S>(x * core::f32::consts::FRAC_1_SQRT_2));
        // The rounding error of erf near -1 would grow with x.
        if x < -5.6 { 0.0 } else { y }
    }
    #[inline(always)]
    fn slope<S: Simd>(x: f32) -> f32 {
        // 1 / sqrt(2 pi)
        const PEAK: f32 = 0.398_942_3;
        let cumulative = mul_add::<S>(erf::<S>(x * core::f32::consts::FRAC_1_SQRT_2), 0.5, 0.5);
        let density = PEAK * exp::<S>(-0.5 * x * x);
        mul_add::<S>(x, density, cumulative)
    }
}

#[derive(Clone, Copy)]
struct QuickGelu;

impl Function for QuickGelu {
    #[inline(always)]
    fn value<S: Simd>(x: f32) -> f32 {
        x * sigmoid::<S>(1.702 * x)
    }
    #[inline(always)]
    fn slope<S: Simd>(x: f32) -> f32 {
        let s = sigmoid::<S>(1.702 * x);
        s * mul_add::<S>(1.702 * x, 1.0 - s, 1.0)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn value<S: Simd>(x: f32) -> f32 {
        x * sigmoid::<S>(x)
    }
    #[inline(always)]
    fn slope<S: Simd>(x: f32) -> f32 {
        let s = sigmoid::<S>(x);
        s * mul_add::<S>(x, 1.0 - s, 1.0)
    }
}

/// `x ← f(x)`
struct InPlace<'a, F>(&'a mut [f32], F);

impl<F: Function> Kernel for InPlace<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for x in self.0 {
            *x = F::value::<S>(*x);
        }
    }
}

/// `y ← f(x)`
struct Map<'a, F>(&'a [f32], &'a mut [f32], F);

impl<F: Function> Kernel for Map<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (y, &x) in self.1.iter_mut().zip(self.0) {
            *y = F::value::<S>(x);
        }
    }
}

/// `g ← g · f'(x)`
struct Chain<'a, F>(&'a [f32], &'a mut [f32], F);

impl<F: Function> Kernel for Chain<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (g, &x) in self.1.iter_mut().zip(self.0) {
            *g *= F::slope::<S>(x);
        }
    }
}

/// `x ← f(x)`, inside a kernel of `S`.
#[inline(always)]
pub(super) fn activate<S: Simd>(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Gelu => InPlace(x, Gelu).run::<S>(),
        Activation::QuickGelu => InPlace(x, QuickGelu).run::<S>(),
        Activation::Silu => InPlace(x, Silu).run::<S>(),
    }
}

fn forward_as<F: Function>(x: FlexTensor, f: F) -> FlexTensor {
    let mut x = contiguous(x);
    if let Some(out) = x.try_storage_mut::<f32>() {
        out.par_chunks_mut(CHUNK)
            .for_each(|out| dispatch(InPlace(out, f)));
        return x;
    }
    let input = values(&x);
    let out = fill_chunks(input.len(), CHUNK, |index, out| {
        dispatch(Map(&input[index * CHUNK..][..out.len()], out, f));
    });
    tensor(out, x.shape())
}

fn backward_as<F: Function>(x: FlexTensor, grad: FlexTensor, f: F) -> FlexTensor {
    let x = contiguous(x);
    let mut grad = contiguous(grad);
    let input = values(&x);
    grad.storage_mut::<f32>()
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(index, grad)| dispatch(Chain(&input[index * CHUNK..][..grad.len()], grad, f)));
    grad
}

/// Computes the activation, in the memory of `x` if nothing else needs it.
pub(super) fn forward(x: FlexTensor, activation: Activation) -> FlexTensor {
    match activation {
        Activation::Gelu => forward_as(x, Gelu),
        Activation::QuickGelu => forward_as(x, QuickGelu),
        Activation::Silu => forward_as(x, Silu),
    }
}

fn backward(x: FlexTensor, grad: FlexTensor, activation: Activation) -> FlexTensor {
    match activation {
        Activation::Gelu => backward_as(x, grad, Gelu),
        Activation::QuickGelu => backward_as(x, grad, QuickGelu),
        Activation::Silu => backward_as(x, grad, Silu),
    }
}

#[derive(Debug)]
struct ActivationBackward;

impl Backward<Flex, 1> for ActivationBackward {
    type State = (NodeId, Activation);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [parent] = ops.parents;
        let (x, activation) = ops.state;
        let grad = grads.consume::<Flex>(&ops.node);
        let x = checkpointer.retrieve_node_output::<FlexTensor>(x);
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, backward(x, grad, activation));
        }
    }
}

fn tracked<C: CheckpointStrategy>(x: TrackedTensor, activation: Activation) -> TrackedTensor {
    match ActivationBackward
        .prepare::<C>([x.node.clone()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(mut prep) => {
            let state = (prep.checkpoint(&x), activation);
            prep.finish(state, forward(x.primitive, activation))
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(x.primitive, activation)),
    }
}

/// Computes the activation of `x`, or returns `x`.
pub(crate) fn activation<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    activation: Activation,
) -> Result<Tensor<B, D>, Tensor<B, D>> {
    let Some(kind) = FlexKind::of::<B>().filter(|_| all_f32(&[x.dtype()])) else {
        return Err(x);
    };
    Ok(match kind {
        FlexKind::Inference => from_primitive(forward(to_primitive(x), activation)),
        FlexKind::Autodiff => {
            from_primitive(tracked::<NoCheckpointing>(to_primitive(x), activation))
        }
        FlexKind::AutodiffBalanced => from_primitive(tracked::<BalancedCheckpointing>(
            to_primitive(x),
            activation,
        )),
    })
}
