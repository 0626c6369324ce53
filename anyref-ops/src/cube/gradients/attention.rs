//! Attention on a graph, of which queries, keys, values, the output and two numbers a query are
//! kept.

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{BoolTensor, FloatTensor};

use super::untracked::{is_tracked, untracked};
use crate::cube::backend::{Input, KernelBackend, floats};
use crate::cube::calls::{self, KernelAttention};
use crate::cube::many_queries::{AttentionGradient, ManyQueries};
use crate::cube::operation::exactly;

#[derive(Debug)]
struct AttentionBackward;

#[derive(Debug, Clone)]
struct State<B: Backend> {
    inputs: [NodeId; 3],
    mask: Option<BoolTensor<B>>,
    gradient: AttentionGradient,
    output: FloatTensor<B>,
    statistics: FloatTensor<B>,
}

/// Parents are queries, keys and values.
impl<B: KernelBackend> Backward<B, 3> for AttentionBackward {
    type State = State<B>;

    fn backward(
        self,
        ops: Ops<State<B>, 3>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let above = grads.consume::<B>(&ops.node);
        let State {
            inputs,
            mask,
            gradient,
            output,
            statistics,
        } = ops.state;
        let inputs = inputs.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let inputs = inputs.into_iter().map(Input::Float);
        let inputs = inputs.chain(mask.map(Input::Bool));
        let inputs = inputs.chain([output, above, statistics].map(Input::Float));
        let found = B::run(gradient, inputs.collect());
        for (parent, found) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, found);
            }
        }
    }
}

/// Returns whether the kernels of the gradient suit an attention.
fn suits<B: Backend>(input: &KernelAttention<'_, B>) -> bool {
    let (query, key, value) = (input.query, input.key, input.value);
    let ([batch, heads, _, width], [_, kv_heads, keys, value_width]) = (query.dims(), value.dims());
    let dtype = query.dtype();
    input.positions.is_none()
        && ManyQueries::suits(query.dims(), value.dims(), None)
        && heads.is_multiple_of(kv_heads)
        && keys <= ManyQueries::MOST_QUERIES
        && key.dims() == [batch, kv_heads, keys, width]
        && value.dims() == [batch, kv_heads, keys, value_width]
        && [key, value].iter().all(|x| x.dtype() == dtype)
}

/// Attention on a graph: in one launch, and in two for its gradients. Gives `None` for other types
/// and shapes, and for relative positions with gradients.
pub(super) fn attend<B: KernelBackend, C: CheckpointStrategy>(
    input: KernelAttention<'_, Autodiff<B, C>>,
) -> Option<Tensor<Autodiff<B, C>, 4>> {
    let tensors = [input.query, input.key, input.value].into_iter();
    if !tensors
        .chain(input.positions.into_iter().flatten())
        .any(is_tracked)
    {
        return attend_untracked(input);
    }
    if !suits(&input) {
        return None;
    }
    let KernelAttention {
        scale,
        causal,
        mask,
        ..
    } = input;
    let parents = [input.query, input.key, input.value];
    let parents = parents.map(|x| x.clone().into_primitive().tensor());
    let nodes = parents.each_ref().map(|parent| parent.node.clone());
    let mask = mask.map(|mask| mask.clone().into_primitive());
    let masked = mask.is_some();
    let OpsKind::Tracked(mut prep) = Backward::<B, 3>::prepare::<C>(AttentionBackward, nodes)
        .compute_bound()
        .stateful()
    else {
        return attend_untracked(input);
    };
    let inputs = parents.each_ref().map(|parent| prep.checkpoint(parent));
    let attention = ManyQueries {
        scale,
        causal,
        masked,
        positioned: false,
        keeping: true,
    };
    let tensors = parents.into_iter();
    let tensors = tensors.map(|parent| Input::Float(parent.primitive));
    let tensors = tensors.chain(mask.clone().map(Input::Bool));
    let [output, statistics] = exactly(B::run(attention, tensors.collect()));
    let state = State {
        inputs,
        mask,
        gradient: AttentionGradient {
            scale,
            causal,
            masked,
        },
        output: output.clone(),
        statistics,
    };
    Some(floats(prep.finish(state, output)))
}

/// Attention of tensors without gradients.
fn attend_untracked<B: KernelBackend, C: CheckpointStrategy>(
    input: KernelAttention<'_, Autodiff<B, C>>,
) -> Option<Tensor<Autodiff<B, C>, 4>> {
    let [query, key, value] = [input.query, input.key, input.value].map(untracked);
    let mask = input.mask.map(|mask| mask.clone().inner());
    let positions = input.positions.map(|positions| positions.map(untracked));
    let attended = calls::attend(KernelAttention {
        query: &query,
        key: &key,
        value: &value,
        mask: mask.as_ref(),
        positions: positions.as_ref().map(|[height, width]| [height, width]),
        causal: input.causal,
        scale: input.scale,
    });
    attended.map(Tensor::from_inner)
}
