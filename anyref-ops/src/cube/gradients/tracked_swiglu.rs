//! Gated activation on a graph, of which gate and up are kept.

use core::marker::PhantomData;

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
use burn::backend::autodiff::checkpoint::state::BackwardStates;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;

use crate::cube::backend::{Input, KernelBackend, floats};
use crate::cube::operation::exactly;
use crate::cube::swiglu::{SwiGlu, SwiGluGradient};

#[derive(Debug)]
struct SwiGluBackward;

/// Parents are gate and up.
impl<B: KernelBackend> Backward<B, 2> for SwiGluBackward {
    type State = [NodeId; 2];

    fn backward(
        self,
        ops: Ops<[NodeId; 2], 2>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let above = grads.consume::<B>(&ops.node);
        let [gate, up] = ops
            .state
            .map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let inputs = [gate, up, above].map(Input::Float);
        let found = B::run(SwiGluGradient, inputs.into());
        for (parent, found) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, found);
            }
        }
    }
}

/// The activation computed again in the backward pass.
#[derive(Debug)]
struct Again<B> {
    parents: [NodeId; 2],
    backend: PhantomData<B>,
}

impl<B: KernelBackend> RetroForward for Again<B> {
    fn forward(&self, states: &mut BackwardStates, out_node: NodeId) {
        let inputs = self
            .parents
            .each_ref()
            .map(|id| states.get_state::<FloatTensor<B>>(id));
        let [output] = exactly(B::run(SwiGlu, inputs.map(Input::Float).into()));
        states.save::<FloatTensor<B>>(out_node, output);
    }
}

/// Computes `silu(gate) · up` on a graph, in one launch each way.
pub(super) fn swiglu<B: KernelBackend, C: CheckpointStrategy>(
    gate_and_up: [Tensor<Autodiff<B, C>, 2>; 2],
) -> Tensor<Autodiff<B, C>, 2> {
    let parents = gate_and_up.map(|x| x.into_primitive().tensor());
    let inputs = parents.each_ref().map(|x| x.primitive.clone());
    let [output] = exactly(B::run(SwiGlu, inputs.map(Input::Float).into()));
    let nodes = parents.each_ref().map(|x| x.node.clone());
    let again = Again::<B> {
        parents: nodes.each_ref().map(|node| node.id),
        backend: PhantomData,
    };
    let prepared = Backward::<B, 2>::prepare::<C>(SwiGluBackward, nodes)
        .memory_bound()
        .retro_forward(again)
        .parents(&parents);
    floats(match prepared.stateful() {
        OpsKind::Tracked(mut prep) => {
            let state = parents.each_ref().map(|x| prep.checkpoint(x));
            prep.finish(state, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    })
}
