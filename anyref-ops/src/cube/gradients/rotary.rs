//! Rotations on a graph, of which only the angles are kept.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;

use crate::cube::backend::{Input, KernelBackend, floats};
use crate::cube::operation::exactly;
use crate::cube::rotary::{Rotary, RotaryGradient};

#[derive(Debug)]
struct RotaryBackward;

/// Cosines and sines are the state.
impl<B: KernelBackend> Backward<B, 1> for RotaryBackward {
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let above = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let [cos, sin] = ops.state;
            let inputs = [above, cos, sin].map(Input::Float);
            let [found] = exactly(B::run(RotaryGradient, inputs.into()));
            grads.register::<B>(parent.id, found);
        }
    }
}

/// Rotates queries and keys on a graph in one launch, and the gradient of each in another. Angles
/// have no gradient.
pub(super) fn rotate<B: KernelBackend, C: CheckpointStrategy>(
    query_and_key: [Tensor<Autodiff<B, C>, 4>; 2],
    angles: [Tensor<Autodiff<B, C>, 4>; 2],
) -> [Tensor<Autodiff<B, C>, 4>; 2] {
    let parents = query_and_key.map(|x| x.into_primitive().tensor());
    let angles = angles.map(|x| x.into_primitive().tensor().primitive);
    let inputs = parents.iter().map(|x| x.primitive.clone());
    let inputs = inputs.chain(angles.clone()).map(Input::Float);
    let outputs: [_; 2] = exactly(B::run(Rotary, inputs.collect()));
    let mut outputs = outputs.into_iter();
    parents.map(|parent| {
        let output = outputs.next().expect("an output of each");
        let prepared = Backward::<B, 1>::prepare::<C>(RotaryBackward, [parent.node]);
        floats(match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(angles.clone(), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        })
    })
}
