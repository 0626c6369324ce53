//! Sums with a tensor that a whole batch shares, without a strided copy.

use super::buffer::{all_f32, fill_chunks, for_each_chunk, tensor, values};
use super::contiguous::contiguous;
use super::simd::{Kernel, Simd, dispatch};
use crate::dispatch::{FlexKind, TrackedTensor, from_primitive, to_primitive};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor, TensorMetadata};
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

/// Values of a task.
const CHUNK: usize = 16 * 1024;

/// `x ← x + y`
struct Add<'a>(&'a mut [f32], &'a [f32]);

impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (x, &y) in self.0.iter_mut().zip(self.1) {
            *x += y;
        }
    }
}

fn sum(x: FlexTensor, shared: FlexTensor) -> FlexTensor {
    let shared = contiguous(shared);
    let mut x = contiguous(x);
    let row = values(&shared);
    if row.is_empty() {
        return x;
    }
    x.storage_mut::<f32>()
        .par_chunks_mut(row.len())
        .for_each(|x| dispatch(Add(x, row)));
    x
}

/// `z ← x + y`
struct Sum<'a>(&'a [f32], &'a [f32], &'a mut [f32]);

impl Kernel for Sum<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (z, (&x, &y)) in self.2.iter_mut().zip(self.0.iter().zip(self.1)) {
            *z = x + y;
        }
    }
}

/// Sum of tensors of one shape, in the memory of either if nothing else needs it.
fn equal_sum(x: FlexTensor, y: FlexTensor) -> FlexTensor {
    let (mut x, mut y) = (contiguous(x), contiguous(y));
    if x.try_storage_mut::<f32>().is_none() {
        core::mem::swap(&mut x, &mut y);
    }
    let shape = x.shape();
    if let Some(sums) = x.try_storage_mut::<f32>() {
        let addends = values(&y);
        for_each_chunk(sums, CHUNK, |index, sums| {
            let addends = &addends[index * CHUNK..][..sums.len()];
            dispatch(Add(sums, addends));
        });
        return x;
    }
    let (x, y) = (values(&x), values(&y));
    let sums = fill_chunks(x.len(), CHUNK, |index, sums| {
        let part = index * CHUNK..index * CHUNK + sums.len();
        dispatch(Sum(&x[part.clone()], &y[part], sums));
    });
    tensor(sums, shape)
}

/// Sum over the batch, `[1, ..]`.
fn reduced(grad: FlexTensor, shape: Shape) -> FlexTensor {
    /// Values of a task.
    const PART: usize = 4 * 1024;
    let grad = contiguous(grad);
    let grads = values(&grad);
    let row = shape.num_elements();
    let mut total = vec![0.0; row];
    total
        .par_chunks_mut(PART)
        .enumerate()
        .for_each(|(part, total)| {
            for row in grads.chunks_exact(row) {
                dispatch(Add(total, &row[part * PART..][..total.len()]));
            }
        });
    tensor(total, shape)
}

#[derive(Debug)]
struct AddBackward;

impl Backward<Flex, 2> for AddBackward {
    /// Shape of the shared tensor.
    type State = Shape;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<Flex>(&ops.node);
        let [x, shared] = ops.parents;
        if let Some(shared) = shared {
            grads.register::<Flex>(shared.id, reduced(grad.clone(), ops.state));
        }
        if let Some(x) = x {
            grads.register::<Flex>(x.id, grad);
        }
    }
}

fn tracked<C: CheckpointStrategy>(x: TrackedTensor, shared: TrackedTensor) -> TrackedTensor {
    let nodes = [x.node.clone(), shared.node.clone()];
    let shape = shared.primitive.shape();
    match AddBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(shape, sum(x.primitive, shared.primitive)),
        OpsKind::UnTracked(prep) => prep.finish(sum(x.primitive, shared.primitive)),
    }
}

/// Computes `x + shared`, or returns the arguments.
#[allow(clippy::type_complexity)]
pub(crate) fn add_shared<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    shared: Tensor<B, D>,
) -> Result<Tensor<B, D>, (Tensor<B, D>, Tensor<B, D>)> {
    let (whole, one) = (x.dims(), shared.dims());
    let fits = all_f32(&[x.dtype(), shared.dtype()])
        && whole[0] > 1
        && one[0] == 1
        && whole[1..] == one[1..];
    let Some(kind) = FlexKind::of::<B>().filter(|_| fits) else {
        return Err((x, shared));
    };
    Ok(match kind {
        FlexKind::Inference => from_primitive(sum(to_primitive(x), to_primitive(shared))),
        FlexKind::Autodiff => from_primitive(tracked::<NoCheckpointing>(
            to_primitive(x),
            to_primitive(shared),
        )),
        FlexKind::AutodiffBalanced => from_primitive(tracked::<BalancedCheckpointing>(
            to_primitive(x),
            to_primitive(shared),
        )),
    })
}

/// Computes `x + y` of tensors of one shape without gradients, or returns the arguments.
#[allow(clippy::type_complexity)]
pub(crate) fn add<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    y: Tensor<B, D>,
) -> Result<Tensor<B, D>, (Tensor<B, D>, Tensor<B, D>)> {
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[x.dtype(), y.dtype()])
        && x.dims() == y.dims();
    match fits {
        true => Ok(from_primitive(equal_sum(to_primitive(x), to_primitive(y)))),
        false => Err((x, y)),
    }
}
