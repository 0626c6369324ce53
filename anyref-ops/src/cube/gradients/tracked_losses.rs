//! Cross-entropies on a graph, of which the logits and a number a row are kept.

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor};

use crate::cube::backend::{Input, KernelBackend, floats};
use crate::cube::operation::exactly;
use crate::cube::token_losses::{TokenLosses, TokenLossesGradient};

#[derive(Debug)]
struct LossesBackward;

#[derive(Debug, Clone)]
struct State<B: Backend> {
    logits: NodeId,
    targets: IntTensor<B>,
    logs: FloatTensor<B>,
}

impl<B: KernelBackend> Backward<B, 1> for LossesBackward {
    type State = State<B>;

    fn backward(
        self,
        ops: Ops<State<B>, 1>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let above = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let State {
                logits,
                targets,
                logs,
            } = ops.state;
            let logits = checkpointer.retrieve_node_output::<FloatTensor<B>>(logits);
            let inputs = vec![
                Input::Float(logits),
                Input::Int(targets),
                Input::Float(logs),
                Input::Float(above),
            ];
            let [found] = exactly(B::run(TokenLossesGradient, inputs));
            grads.register::<B>(parent.id, found);
        }
    }
}

/// Cross-entropy of each row of logits on a graph, in one launch each way.
pub(super) fn token_losses<B: KernelBackend, C: CheckpointStrategy>(
    logits: Tensor<Autodiff<B, C>, 2>,
    targets: Tensor<Autodiff<B, C>, 1, Int>,
) -> Tensor<Autodiff<B, C>, 1> {
    let logits = logits.into_primitive().tensor();
    let targets: IntTensor<B> = targets.into_primitive();
    let inputs = vec![
        Input::Float(logits.primitive.clone()),
        Input::Int(targets.clone()),
    ];
    let [losses, logs] = exactly(B::run(TokenLosses, inputs));
    let prepared = Backward::<B, 1>::prepare::<C>(LossesBackward, [logits.node.clone()]);
    floats(match prepared.compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let state = State {
                logits: prep.checkpoint(&logits),
                targets,
                logs,
            };
            prep.finish(state, losses)
        }
        OpsKind::UnTracked(prep) => prep.finish(losses),
    })
}
