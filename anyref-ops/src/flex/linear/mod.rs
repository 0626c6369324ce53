//! Linear layers whose weights keep the layout of PyTorch's files, in half precision or in the
//! order of inputs: f32 in, f32 out, accumulated in f32. Without gradients any f32 weight takes the
//! same path. Many rows are rounded to bf16 for bf16 weights where no gradient is needed and the
//! processor has instructions for it.

mod arithmetic;
#[cfg(target_arch = "x86_64")]
pub(super) mod bf16_dot;
pub(super) mod blocks;
mod ending;
mod gemv_columns;
mod gemv_rows;
mod many_rows;
mod narrow;
mod output;
mod row_products;
mod scratch;
mod stored;
mod tiles;
mod weight;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Shape, Tensor, TensorMetadata, bf16, f16};
use burn_flex::{Flex, FlexTensor};

use self::ending::Ending;
use self::many_rows::ManyRows;
pub(crate) use self::output::Output;
pub(crate) use self::row_products::{RowProduct, RowProductsInput, has_row_products, row_products};
pub(crate) use self::scratch::Scratch;
#[cfg(all(test, target_arch = "wasm32"))]
pub(crate) use self::stored::widen;
pub(crate) use self::stored::{Stored, tail};
use self::weight::{Order, Weight, in_lines};
use super::activation::{Activation, forward as activation_of};
use super::buffer::{all_f32, filled, tensor, values};
use super::contiguous::contiguous;
use crate::dispatch::{FlexKind, TrackedTensor, from_primitive, to_primitive};

/// Up to this many rows use a GEMV over the weight's rows instead of tiles.
const FEW: usize = 64;
/// Up to this many inputs over all rows also use that GEMV, because they stay in a core's cache.
const CACHED: usize = 128 * 1024;
/// Up to this many rows use a GEMV over the weight's columns instead of tiles.
const FEWER: usize = 8;
/// Arguments of [`linear`].
#[derive(Debug)]
pub(crate) struct LinearInput<B: Backend> {
    /// `[rows, inputs]`
    pub(crate) x: Tensor<B, 2>,
    /// `[inputs, outputs]`
    pub(crate) weight: Tensor<B, 2>,
    /// `[outputs]`
    pub(crate) bias: Option<Tensor<B, 1>>,
    /// Function of the sum of product and bias, without gradients alone.
    pub(crate) activation: Option<Activation>,
}

/// Purpose of a product, which decides its precision and orientation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Inference: many rows may be rounded to the weight's type where that is faster.
    Inference,
    /// Forward pass of training, always in f32.
    Training,
    /// Gradient of the input: `x · weightᵀ`.
    Gradient,
}

/// `activation(x · weight + bias)`.
fn forward(
    x: FlexTensor,
    weight: &FlexTensor,
    bias: Option<FlexTensor>,
    activation: Option<Activation>,
    aim: For,
) -> FlexTensor {
    let (x, bias) = (contiguous(x), bias.map(contiguous));
    let (x, bias) = (&x, bias.as_ref().map(values));
    let ending = Ending { bias, activation };
    match weight.dtype() {
        DType::F16 => rows::<f16>(x, weight, ending, aim),
        DType::F32 => rows::<f32>(x, weight, ending, aim),
        _ => rows::<bf16>(x, weight, ending, aim),
    }
}

/// Product of few rows, which adds to what it is given.
type Few<H> = fn(&[f32], Weight<'_, H>, Option<&[f32]>, &mut [f32]);

fn rows<H: ManyRows>(
    x: &FlexTensor,
    weight: &FlexTensor,
    ending: Ending<'_>,
    aim: For,
) -> FlexTensor {
    let weight = Weight::<H>::new(weight);
    let weight = match aim {
        For::Gradient => weight.transposed(),
        _ => weight,
    };
    let rows = x.shape()[0];
    let (x, width) = (values(x), weight.width);
    let few = match weight.order {
        Order::Inputs if rows <= FEW || rows * weight.depth <= CACHED => {
            Some(gemv_rows::product::<H> as Few<H>)
        }
        Order::Outputs if rows <= FEWER => Some(gemv_columns::product::<H> as Few<H>),
        _ => None,
    };
    let out = match few {
        Some(product) => {
            let mut out = vec![0.0; rows * width];
            product(x, weight, ending.bias, &mut out);
            let out = tensor(out, Shape::new([rows, width]));
            return match ending.activation {
                Some(activation) => activation_of(out, activation),
                None => out,
            };
        }
        None => {
            let product = match aim {
                For::Inference => H::rounded_product(),
                _ => H::exact_product(),
            };
            let fill = |out: &mut [_]| product(x, weight, ending, Output::unwritten(out, width));
            // SAFETY: products of many rows write all of their output.
            unsafe { filled(rows * width, fill) }
        }
    };
    tensor(out, Shape::new([rows, width]))
}

/// Backward pass with `N` parents: x and, if given, the bias. The weight gets no gradient and is
/// kept as it is.
#[derive(Debug)]
struct LinearBackward;

impl<const N: usize> Backward<Flex, N> for LinearBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        for (index, parent) in ops.parents.into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let grad = match index {
                0 => forward(grad.clone(), &ops.state, None, None, For::Gradient),
                _ => column_sums(&grad),
            };
            grads.register::<Flex>(parent.id, grad);
        }
    }
}

/// Sums the columns: the gradient of the bias.
pub(crate) fn column_sums(grad: &FlexTensor) -> FlexTensor {
    let width = grad.shape()[1];
    let mut sums = vec![0.0; width];
    for row in values(grad).chunks_exact(width) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
    tensor(sums, Shape::new([width]))
}

fn tracked<C: CheckpointStrategy, const N: usize>(
    parents: [TrackedTensor; N],
    weight: FlexTensor,
) -> TrackedTensor {
    let nodes = parents.each_ref().map(|parent| parent.node.clone());
    let mut parents = parents.into_iter().map(|parent| parent.primitive);
    let x = parents.next().expect("the input is the first parent");
    let y = forward(x, &weight, parents.next(), None, For::Training);
    match LinearBackward
        .prepare::<C>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish(weight, y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

fn tracked_input<B: Backend, C: CheckpointStrategy>(input: LinearInput<B>) -> Tensor<B, 2> {
    let weight = to_primitive::<B, 2, TrackedTensor>(input.weight).primitive;
    let weight = in_lines(weight);
    from_primitive(match input.bias {
        Some(bias) => tracked::<C, 2>([to_primitive(input.x), to_primitive(bias)], weight),
        None => tracked::<C, 1>([to_primitive(input.x)], weight),
    })
}

/// Returns whether the inputs of each output are contiguous, as in PyTorch's files.
fn lies_by_inputs<B: Backend>(input: &LinearInput<B>, kind: FlexKind) -> bool {
    let weight = input.weight.clone();
    let weight = match kind {
        FlexKind::Inference => to_primitive::<B, 2, FlexTensor>(weight),
        _ => to_primitive::<B, 2, TrackedTensor>(weight).primitive,
    };
    let [depth, _] = input.weight.dims();
    depth > 1 && weight::order(&weight).is_some_and(|(order, _)| order == Order::Inputs)
}

/// Returns whether the fused form supports sizes and types. The weight, which must not need a
/// gradient, is half, or f32 in the order of inputs, or, without gradients, any f32.
fn fits<B: Backend>(input: &LinearInput<B>, kind: FlexKind) -> bool {
    let ([rows, inputs], [depth, outputs]) = (input.x.dims(), input.weight.dims());
    let weight_fits = match input.weight.dtype() {
        DType::F16 | DType::BF16 => true,
        // burn's product is twice as slow for weights in the order of inputs.
        DType::F32 => kind == FlexKind::Inference || lies_by_inputs(input, kind),
        _ => false,
    };
    let types = all_f32(&[input.x.dtype()])
        && (input.activation.is_none() || kind == FlexKind::Inference)
        && weight_fits
        && input
            .bias
            .as_ref()
            .is_none_or(|bias| all_f32(&[bias.dtype()]) && bias.dims() == [outputs]);
    let frozen = || match kind {
        FlexKind::Inference => true,
        _ => !to_primitive::<B, 2, TrackedTensor>(input.weight.clone()).is_tracked(),
    };
    types && rows > 0 && inputs > 0 && outputs > 0 && inputs == depth && frozen()
}

/// Computes the layer's output `[rows, outputs]`, or returns the arguments.
pub(crate) fn linear<B: Backend>(input: LinearInput<B>) -> Result<Tensor<B, 2>, LinearInput<B>> {
    let Some(kind) = FlexKind::of::<B>().filter(|&kind| fits(&input, kind)) else {
        return Err(input);
    };
    Ok(match kind {
        FlexKind::Inference => {
            let weight = in_lines(to_primitive(input.weight));
            from_primitive(forward(
                to_primitive(input.x),
                &weight,
                input.bias.map(to_primitive),
                input.activation,
                For::Inference,
            ))
        }
        FlexKind::Autodiff => tracked_input::<B, NoCheckpointing>(input),
        FlexKind::AutodiffBalanced => tracked_input::<B, BalancedCheckpointing>(input),
    })
}
