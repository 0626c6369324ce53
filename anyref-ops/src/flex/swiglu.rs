//! Gated activation of LLaMA's MLP.

use super::activation::{CHUNK, Function, Silu};
use super::buffer::{all_f32, for_each_chunk, tensor, values};
use super::contiguous::contiguous;
use super::math::sigmoid;
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

/// `up ← silu(gate) · up`
struct Gate<'a>(&'a [f32], &'a mut [f32]);

impl Kernel for Gate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (y, &x) in self.1.iter_mut().zip(self.0) {
            *y *= Silu::value::<S>(x);
        }
    }
}

/// `g ← g · silu(gate)`, `slope ← g · up · silu'(gate)` of the old `g`.
struct GateBackward<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    grad: &'a mut [f32],
    gate_grad: &'a mut [f32],
}

impl Kernel for GateBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let inputs = self.gate.iter().zip(self.up);
        let grads = self.grad.iter_mut().zip(self.gate_grad);
        for ((&x, &u), (g, d)) in inputs.zip(grads) {
            let s = sigmoid::<S>(x);
            *d = *g * u * (s * mul_add::<S>(x, 1.0 - s, 1.0));
            *g *= x * s;
        }
    }
}

fn swiglu_forward(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
    let gate = contiguous(gate);
    let mut up = contiguous(up);
    let gates = values(&gate);
    for_each_chunk(up.storage_mut::<f32>(), CHUNK, |index, up| {
        dispatch(Gate(&gates[index * CHUNK..][..up.len()], up));
    });
    up
}

fn swiglu_backward(gate: FlexTensor, up: FlexTensor, grad: FlexTensor) -> [FlexTensor; 2] {
    let (gate, up) = (contiguous(gate), contiguous(up));
    let mut grad = contiguous(grad);
    let (gates, ups) = (values(&gate), values(&up));
    let mut gate_grad = vec![0.0; gates.len()];
    grad.storage_mut::<f32>()
        .par_chunks_mut(CHUNK)
        .zip(gate_grad.par_chunks_mut(CHUNK))
        .enumerate()
        .for_each(|(index, (grad, gate_grad))| {
            let range = index * CHUNK..index * CHUNK + grad.len();
            dispatch(GateBackward {
                gate: &gates[range.clone()],
                up: &ups[range],
                grad,
                gate_grad,
            });
        });
    [tensor(gate_grad, gate.shape()), grad]
}

#[derive(Debug)]
struct SwigluBackward;

impl Backward<Flex, 2> for SwigluBackward {
    type State = [NodeId; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<Flex>(&ops.node);
        let [gate, up] = ops
            .state
            .map(|id| checkpointer.retrieve_node_output::<FlexTensor>(id));
        for (parent, grad) in ops.parents.into_iter().zip(swiglu_backward(gate, up, grad)) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}

fn swiglu_tracked<C: CheckpointStrategy>(gate: TrackedTensor, up: TrackedTensor) -> TrackedTensor {
    let nodes = [gate.node.clone(), up.node.clone()];
    match SwigluBackward
        .prepare::<C>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(mut prep) => {
            let state = [prep.checkpoint(&gate), prep.checkpoint(&up)];
            prep.finish(state, swiglu_forward(gate.primitive, up.primitive))
        }
        OpsKind::UnTracked(prep) => prep.finish(swiglu_forward(gate.primitive, up.primitive)),
    }
}

/// Computes `silu(gate) · up`, or returns the arguments.
#[allow(clippy::type_complexity)]
pub(crate) fn swiglu<B: Backend, const D: usize>(
    gate: Tensor<B, D>,
    up: Tensor<B, D>,
) -> Result<Tensor<B, D>, (Tensor<B, D>, Tensor<B, D>)> {
    let fits = all_f32(&[gate.dtype(), up.dtype()]) && gate.dims() == up.dims();
    let Some(kind) = FlexKind::of::<B>().filter(|_| fits) else {
        return Err((gate, up));
    };
    Ok(match kind {
        FlexKind::Inference => from_primitive(swiglu_forward(to_primitive(gate), to_primitive(up))),
        FlexKind::Autodiff => from_primitive(swiglu_tracked::<NoCheckpointing>(
            to_primitive(gate),
            to_primitive(up),
        )),
        FlexKind::AutodiffBalanced => from_primitive(swiglu_tracked::<BalancedCheckpointing>(
            to_primitive(gate),
            to_primitive(up),
        )),
    })
}
