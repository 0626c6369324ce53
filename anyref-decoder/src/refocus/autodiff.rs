//! Backward pass over any backend that refocuses; saves only the arguments and recomputes the rest.

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::ops::FloatTensor;

use super::{Objects, RefocusBackend};

#[derive(Debug)]
struct RefocusBackward;

#[derive(Debug, Clone)]
struct State {
    query: NodeId,
    key: NodeId,
    hidden: NodeId,
    objects: Objects,
}

impl<B: RefocusBackend> Backward<B, 3> for RefocusBackward {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [query, key, hidden] = ops.parents;
        let state = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let gradients = B::refocus_backward(
            checkpointer.retrieve_node_output::<FloatTensor<B>>(state.query),
            checkpointer.retrieve_node_output::<FloatTensor<B>>(state.key),
            checkpointer.retrieve_node_output::<FloatTensor<B>>(state.hidden),
            state.objects,
            gradient,
        );
        for (parent, gradient) in [
            (query, gradients.query),
            (key, gradients.key),
            (hidden, gradients.hidden),
        ] {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: RefocusBackend, C: CheckpointStrategy> RefocusBackend for Autodiff<B, C> {
    fn refocus(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
    ) -> FloatTensor<Self> {
        let nodes = [query.node.clone(), key.node.clone(), hidden.node.clone()];
        match Backward::<B, 3>::prepare::<C>(RefocusBackward, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let state = State {
                    query: prep.checkpoint(&query),
                    key: prep.checkpoint(&key),
                    hidden: prep.checkpoint(&hidden),
                    objects: objects.clone(),
                };
                let output = B::refocus(query.primitive, key.primitive, hidden.primitive, objects);
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::refocus(
                query.primitive,
                key.primitive,
                hidden.primitive,
                objects,
            )),
        }
    }
}
