//! Products of floats and weights in blocks with the gradient of the input, for which the blocks
//! alone are kept: forward and backward, some outputs are widened at a time.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor};
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::panels::Panels;
use crate::dispatch::{FlexKind, TrackedTensor, from_primitive, to_primitive};
use crate::flex::buffer::{all_f32, tensor};
use crate::flex::contiguous::contiguous;
use crate::flex::linear::column_sums;
use crate::linear;

/// Weights that are floats at once, unless one output has more.
const AT_ONCE: usize = 2 * 1024 * 1024;

/// Parts of the outputs, each with its first output and its values `[outputs, depth]`.
fn parts(panels: &Panels) -> impl Iterator<Item = (usize, Tensor<Flex, 2>)> {
    let [depth, width] = panels.dims();
    let step = (AT_ONCE / depth.max(1)).max(1);
    (0..width).step_by(step).map(move |first| {
        let count = step.min(width - first);
        let mut values = vec![0.0; count * depth];
        let rows = values.par_chunks_exact_mut(depth.max(1)).enumerate();
        rows.for_each(|(row, values)| panels.dequantize_row(first + row, values));
        (
            first,
            from_primitive(tensor(values, Shape::new([count, depth]))),
        )
    })
}

/// `x · weight + bias`
fn forward(x: FlexTensor, panels: &Panels, bias: Option<FlexTensor>) -> FlexTensor {
    let x: Tensor<Flex, 2> = from_primitive(x);
    let bias: Option<Tensor<Flex, 1>> = bias.map(from_primitive);
    let products = parts(panels).map(|(first, part)| {
        let count = part.dims()[0];
        let bias = bias.clone().map(|bias| bias.narrow(0, first, count));
        linear(x.clone(), part.transpose(), bias)
    });
    to_primitive(Tensor::cat(products.collect(), 1))
}

/// `grad · weightᵀ`
fn input_gradient(grad: FlexTensor, panels: &Panels) -> FlexTensor {
    let grad: Tensor<Flex, 2> = from_primitive(grad);
    let products = parts(panels).map(|(first, part)| {
        let count = part.dims()[0];
        linear(grad.clone().narrow(1, first, count), part, None)
    });
    let sum = products.reduce(|sum, product| sum + product);
    to_primitive(sum.expect("a weight has outputs"))
}

/// With `N` parents: x and, where there is one, the bias.
#[derive(Debug)]
struct BlockBackward;

impl<const N: usize> Backward<Flex, N> for BlockBackward {
    type State = Arc<Panels>;

    fn backward(self, ops: Ops<Arc<Panels>, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        for (index, parent) in ops.parents.into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let grad = match index {
                0 => input_gradient(grad.clone(), &ops.state),
                _ => column_sums(&grad),
            };
            grads.register::<Flex>(parent.id, grad);
        }
    }
}

fn tracked<C: CheckpointStrategy, const N: usize>(
    parents: [TrackedTensor; N],
    panels: &Arc<Panels>,
) -> TrackedTensor {
    let nodes = parents.each_ref().map(|parent| parent.node.clone());
    let mut parents = parents.into_iter().map(|parent| parent.primitive);
    let x = parents.next().expect("the input is the first parent");
    let y = forward(x, panels, parents.next());
    match BlockBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(panels.clone(), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

fn tracked_input<B: Backend, C: CheckpointStrategy>(
    x: Tensor<B, 2>,
    panels: &Arc<Panels>,
    bias: Option<Tensor<B, 1>>,
) -> Tensor<B, 2> {
    from_primitive(match bias {
        Some(bias) => tracked::<C, 2>([to_primitive(x), to_primitive(bias)], panels),
        None => tracked::<C, 1>([to_primitive(x)], panels),
    })
}

/// `x · weight + bias`, or `x` back where it is no f32 on the processor with gradients.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - bias: `[width]`
/// - output: `[rows, width]`
pub(crate) fn tracked_block_product<B: Backend>(
    x: Tensor<B, 2>,
    weight: &Arc<Panels>,
    bias: Option<Tensor<B, 1>>,
) -> Result<Tensor<B, 2>, Tensor<B, 2>> {
    let [depth, width] = weight.dims();
    let bias_fits = bias
        .as_ref()
        .is_none_or(|bias| all_f32(&[bias.dtype()]) && bias.dims() == [width]);
    let fits = all_f32(&[x.dtype()]) && x.dims()[1] == depth && width > 0 && bias_fits;
    match FlexKind::of::<B>().filter(|_| fits) {
        Some(FlexKind::Autodiff) => Ok(tracked_input::<B, NoCheckpointing>(x, weight, bias)),
        Some(FlexKind::AutodiffBalanced) => {
            Ok(tracked_input::<B, BalancedCheckpointing>(x, weight, bias))
        }
        _ => Err(x),
    }
}
