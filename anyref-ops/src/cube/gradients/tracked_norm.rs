//! Normalisations on a graph, of which only the rows are kept.

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
use crate::cube::calls::NormParameters;
use crate::cube::norm::Norm;
use crate::cube::norm_gradient::NormGradient;
use crate::cube::operation::exactly;

/// Tensor of `Autodiff` over `B`.
type Tracked<B, C> = FloatTensor<Autodiff<B, C>>;

#[derive(Debug)]
struct NormBackward;

#[derive(Debug, Clone)]
struct State {
    rows: NodeId,
    gamma: NodeId,
    norm: Norm,
}

/// Parents are the rows, the scale and, if there is one, the shift.
impl<B: KernelBackend, const N: usize> Backward<B, N> for NormBackward {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let above = grads.consume::<B>(&ops.node);
        let State { rows, gamma, norm } = ops.state;
        let [rows, gamma] =
            [rows, gamma].map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let gradient = NormGradient {
            centred: norm.centred,
            shifted: norm.shifted,
            of_parameters: ops.parents[1..].iter().any(Option::is_some),
            epsilon: norm.epsilon,
        };
        let found = B::run(gradient, [rows, gamma, above].map(Input::Float).into());
        for (parent, found) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, found);
            }
        }
    }
}

/// The norm computed again in the backward pass.
#[derive(Debug)]
struct Again<B, const N: usize> {
    norm: Norm,
    parents: [NodeId; N],
    backend: PhantomData<B>,
}

impl<B: KernelBackend, const N: usize> RetroForward for Again<B, N> {
    fn forward(&self, states: &mut BackwardStates, out_node: NodeId) {
        let inputs = self.parents.iter();
        let inputs = inputs.map(|id| Input::Float(states.get_state::<FloatTensor<B>>(id)));
        let inputs = inputs.collect();
        let [output] = exactly(B::run(self.norm, inputs));
        states.save::<FloatTensor<B>>(out_node, output);
    }
}

/// Puts an output on the graph.
fn tracked<B: KernelBackend, C: CheckpointStrategy, const N: usize>(
    norm: Norm,
    parents: [Tracked<B, C>; N],
    output: FloatTensor<B>,
) -> Tracked<B, C> {
    let nodes = parents.each_ref().map(|parent| parent.node.clone());
    let again = Again::<B, N> {
        norm: Norm {
            added: false,
            ..norm
        },
        parents: nodes.each_ref().map(|node| node.id),
        backend: PhantomData,
    };
    let prepared = Backward::<B, N>::prepare::<C>(NormBackward, nodes)
        .memory_bound()
        .retro_forward(again)
        .parents(&parents);
    match prepared.stateful() {
        OpsKind::Tracked(mut prep) => {
            let state = State {
                rows: prep.checkpoint(&parents[0]),
                gamma: prep.checkpoint(&parents[1]),
                norm,
            };
            prep.finish(state, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct SumBackward;

impl<B: KernelBackend> Backward<B, 2> for SumBackward {
    type State = ();

    fn backward(self, ops: Ops<(), 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let above = grads.consume::<B>(&ops.node);
        for parent in ops.parents.into_iter().flatten() {
            grads.register::<B>(parent.id, above.clone());
        }
    }
}

/// Puts a sum on the graph.
fn tracked_sum<B: KernelBackend, C: CheckpointStrategy>(
    parents: [Tracked<B, C>; 2],
    sum: FloatTensor<B>,
) -> Tracked<B, C> {
    let nodes = parents.map(|parent| parent.node);
    let prepared = Backward::<B, 2>::prepare::<C>(SumBackward, nodes);
    prepared.compute_bound().stateless(sum)
}

/// Normalised rows on a graph, or the sum of two tensors' rows and the normalised sum: in one
/// launch, and in one or two for the gradients.
pub(super) fn norm<B: KernelBackend, C: CheckpointStrategy>(
    x: Tensor<Autodiff<B, C>, 2>,
    added: Option<Tensor<Autodiff<B, C>, 2>>,
    parameters: &NormParameters<Autodiff<B, C>>,
) -> Vec<Tensor<Autodiff<B, C>, 2>> {
    let norm = parameters.kernel(added.is_some());
    let dtype = x.dtype();
    let cast = |parameter: &Tensor<Autodiff<B, C>, 1>| {
        let parameter = parameter.clone().cast(dtype);
        parameter.into_primitive().tensor()
    };
    let gamma = cast(&parameters.gamma);
    let beta = parameters.beta.as_ref().map(cast);
    let x = x.into_primitive().tensor();
    let added = added.map(|added| added.into_primitive().tensor());

    let inputs = [Some(&x), added.as_ref(), Some(&gamma), beta.as_ref()];
    let inputs = inputs.into_iter().flatten();
    let inputs = inputs.map(|input| Input::Float(input.primitive.clone()));
    let mut outputs = B::run(norm, inputs.collect());
    let output = outputs.pop().expect("normalised rows");
    let rows = match (added, outputs.pop()) {
        (Some(added), Some(sum)) => tracked_sum::<B, C>([x, added], sum),
        _ => x,
    };
    let sum = norm.added.then(|| rows.clone());
    let output = match beta {
        Some(beta) => tracked::<B, C, 3>(norm, [rows, gamma, beta], output),
        None => tracked::<B, C, 2>(norm, [rows, gamma], output),
    };
    sum.into_iter().chain([output]).map(floats).collect()
}
