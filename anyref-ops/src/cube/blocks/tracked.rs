//! Products with the gradient of the input, for which the blocks alone are kept.

use core::ops::Range;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::ops::IntTensor;
use burn::tensor::{DType, Int, Tensor};

use super::operation::{block_range, block_rows};
use super::product::{input_gradient, product};
use crate::blocks::PlaneLayout;
use crate::cube::backend::{KernelBackend, floats};

#[derive(Debug)]
struct BlockBackward;

/// Weight of a product.
#[derive(Debug, Clone)]
struct State<I> {
    words: I,
    layout: PlaneLayout,
}

impl<B: KernelBackend> Backward<B, 1> for BlockBackward {
    type State = State<IntTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let words = Tensor::<B, 2, Int>::from_primitive(ops.state.words);
            let found = input_gradient(floats::<B, 2>(gradient), words, ops.state.layout);
            grads.register::<B>(parent.id, found.into_primitive().tensor());
        }
    }
}

/// [`product`] on a graph.
pub(super) fn tracked_product<B: KernelBackend, C: CheckpointStrategy>(
    x: Tensor<Autodiff<B, C>, 2>,
    words: Tensor<Autodiff<B, C>, 2, Int>,
    layout: PlaneLayout,
) -> Tensor<Autodiff<B, C>, 2> {
    let x = x.into_primitive().tensor();
    let words: IntTensor<B> = words.into_primitive();
    let node = x.node.clone();
    let found = product(
        floats::<B, 2>(x.primitive),
        Tensor::from_primitive(words.clone()),
        layout,
    );
    let found = found.into_primitive().tensor();
    let prepared = Backward::<B, 1>::prepare::<C>(BlockBackward, [node]);
    floats(match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(State { words, layout }, found),
        OpsKind::UnTracked(prep) => prep.finish(found),
    })
}

/// Values of some rows, which have no gradient.
pub(super) fn constant_range<B: KernelBackend, C: CheckpointStrategy>(
    words: Tensor<Autodiff<B, C>, 2, Int>,
    layout: PlaneLayout,
    range: Range<usize>,
    dtype: DType,
) -> Tensor<Autodiff<B, C>, 2> {
    let words = Tensor::from_primitive(words.into_primitive());
    Tensor::from_inner(block_range::<B>(words, layout, range, dtype))
}

/// Values of the rows of some indices, which have no gradient.
pub(super) fn constant_rows<B: KernelBackend, C: CheckpointStrategy>(
    words: Tensor<Autodiff<B, C>, 2, Int>,
    indices: Tensor<Autodiff<B, C>, 1, Int>,
    layout: PlaneLayout,
    dtype: DType,
) -> Tensor<Autodiff<B, C>, 2> {
    let words = Tensor::from_primitive(words.into_primitive());
    let indices = Tensor::from_primitive(indices.into_primitive());
    Tensor::from_inner(block_rows::<B>(words, indices, layout, dtype))
}
