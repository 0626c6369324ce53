//! Attention without its matrix of probabilities.

mod backward;
mod backward_job;
mod backward_rows;
mod backward_scratch;
mod cached;
mod direct;
mod forward;
mod held;
mod outputs;
mod packed;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod problem;
mod products;
mod relative;
mod scores;
mod views;

pub(crate) use cached::cached_attention;
pub(crate) use relative::relative_positions;

use super::buffer::all_f32;
use crate::dispatch::{FlexKind, TrackedTensor, from_primitive, same, to_primitive};
use crate::{AttentionInput, RelativePosition};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, BoolStore, DType, Tensor};
use burn_flex::{Flex, FlexTensor};
use problem::{Options, Problem, with_slices};

/// Inputs and options are what the fused form takes; otherwise the composed form shall say what is
/// wrong with them.
fn fits<B: Backend>(input: &AttentionInput<B>) -> bool {
    let [batch, heads, queries, head_dim] = input.query.dims();
    let [_, kv_heads, keys, value_dim] = input.value.dims();
    let extents = [batch, heads, queries, head_dim, kv_heads, keys, value_dim];
    let position_fits = input.relative_position.as_ref().is_none_or(|position| {
        let ([.., rows], [.., columns]) = (position.height.dims(), position.width.dims());
        position.height.dims() == [batch, heads, queries, rows]
            && position.width.dims() == [batch, heads, queries, columns]
            && rows * columns == keys
            && all_f32(&[position.height.dtype(), position.width.dtype()])
    });
    extents.iter().all(|&extent| extent > 0)
        && heads.is_multiple_of(kv_heads)
        && input.key.dims() == [batch, kv_heads, keys, head_dim]
        && input.value.dims()[0] == batch
        && all_f32(&[input.query.dtype(), input.key.dtype(), input.value.dtype()])
        && input
            .mask
            .as_ref()
            .is_none_or(|mask| mask_fits(mask, [batch, heads, queries, keys]))
        && position_fits
}

/// Whether a mask has a type and a shape that the fused form takes for `scores`.
fn mask_fits<B: Backend>(mask: &Tensor<B, 4, Bool>, scores: [usize; 4]) -> bool {
    let dims = mask.dims();
    matches!(mask.dtype(), DType::Bool(BoolStore::Native | BoolStore::U8))
        && dims.iter().zip(scores).all(|(&m, n)| m == 1 || m == n)
}

#[derive(Clone, Debug)]
struct State<const N: usize> {
    inputs: [NodeId; N],
    options: Options,
    output: FlexTensor,
    statistics: FlexTensor,
}

#[derive(Debug)]
struct AttentionBackward;

/// With `N` parents: query, key, value and, with relative positions, height and width.
impl<const N: usize> Backward<Flex, N> for AttentionBackward {
    type State = State<N>;

    fn backward(
        self,
        ops: Ops<State<N>, N>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<Flex>(&ops.node);
        let State {
            inputs,
            options,
            output,
            statistics,
        } = ops.state;
        let inputs = inputs.map(|id| checkpointer.retrieve_node_output::<FlexTensor>(id));
        let wanted =
            core::array::from_fn(|i| ops.parents.get(i).is_some_and(|parent| parent.is_some()));
        let saved = backward::Saved {
            output: &output,
            statistics: &statistics,
            grad: &grad,
        };
        let parts = backward::backward(&Problem::new(inputs, options), saved, wanted);
        for (parent, grad) in ops.parents.into_iter().zip(parts) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}

fn tracked<C: CheckpointStrategy, const N: usize>(
    inputs: [TrackedTensor; N],
    options: Options,
) -> TrackedTensor {
    let nodes = inputs.each_ref().map(|input| input.node.clone());
    match AttentionBackward
        .prepare::<C>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(mut prep) => {
            let nodes = inputs.each_ref().map(|input| prep.checkpoint(input));
            let problem = Problem::new(inputs.map(|input| input.primitive), options);
            let (output, statistics) = forward::forward(&problem);
            let options = problem.options;
            let state = State {
                inputs: nodes,
                options,
                output: output.clone(),
                statistics,
            };
            prep.finish(state, output)
        }
        OpsKind::UnTracked(prep) => {
            let inputs = inputs.map(|input| input.primitive);
            prep.finish(forward::forward(&Problem::new(inputs, options)).0)
        }
    }
}

fn tracked_input<B: Backend, C: CheckpointStrategy>(
    input: AttentionInput<B>,
    options: Options,
) -> Tensor<B, 4> {
    let AttentionInput {
        query,
        key,
        value,
        relative_position,
        ..
    } = input;
    let (query, key, value) = (to_primitive(query), to_primitive(key), to_primitive(value));
    from_primitive(match relative_position {
        Some(RelativePosition { height, width }) => tracked::<C, 5>(
            [query, key, value, to_primitive(height), to_primitive(width)],
            options,
        ),
        None => tracked::<C, 3>([query, key, value], options),
    })
}

fn mask<B: Backend>(mask: Tensor<B, 4, Bool>) -> FlexTensor {
    with_slices(&same(mask.into_primitive()))
}

/// Attention, or its input back.
pub(crate) fn attention<B: Backend>(
    mut input: AttentionInput<B>,
) -> Result<Tensor<B, 4>, AttentionInput<B>> {
    let Some(kind) = FlexKind::of::<B>().filter(|_| fits(&input)) else {
        return Err(input);
    };
    let [.., head_dim] = input.query.dims();
    let options = Options {
        mask: input.mask.take().map(mask),
        causal: input.causal,
        scale: input.scale.unwrap_or((head_dim as f64).powf(-0.5)) as f32,
        // The backward pass computes the exact products again.
        rounded: input.rounded && kind == FlexKind::Inference,
    };
    Ok(match kind {
        FlexKind::Inference => {
            let AttentionInput {
                query,
                key,
                value,
                relative_position,
                ..
            } = input;
            let inputs = [query, key, value].map(to_primitive);
            from_primitive(match relative_position {
                Some(RelativePosition { height, width }) => {
                    let [query, key, value] = inputs;
                    let inputs = [query, key, value, to_primitive(height), to_primitive(width)];
                    forward::forward(&Problem::new(inputs, options)).0
                }
                None => forward::forward(&Problem::new(inputs, options)).0,
            })
        }
        FlexKind::Autodiff => tracked_input::<B, NoCheckpointing>(input, options),
        FlexKind::AutodiffBalanced => tracked_input::<B, BalancedCheckpointing>(input, options),
    })
}
