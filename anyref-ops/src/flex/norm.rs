//! Layer and root-mean-square normalisation, forward and backward in one pass over the rows.

use super::buffer::{all_f32, fill_chunks, tensor, values};
use super::contiguous::contiguous;
use super::math::{sum, sum_pairs};
use super::simd::{Kernel, Simd, dispatch, mul_add};
use crate::dispatch::{FlexKind, TrackedTensor, from_primitive, to_primitive};
use burn::backend::autodiff::NodeId;
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

/// Inputs of [`norm`].
#[derive(Debug)]
pub(crate) struct NormInput<B: Backend, const D: usize> {
    /// `[..., d]`
    pub(crate) x: Tensor<B, D>,
    /// `[d]`
    pub(crate) gamma: Tensor<B, 1>,
    /// `[d]`; subtracts the mean (layer norm) if given, else not (RMS norm).
    pub(crate) beta: Option<Tensor<B, 1>>,
    /// Term added to the variance.
    pub(crate) epsilon: f64,
}

/// Parameters of a layer norm that is a step of another operation.
#[derive(Debug)]
pub(crate) struct LayerNormParameters<B: Backend> {
    /// `[d]`
    pub(crate) gamma: Tensor<B, 1>,
    /// `[d]`
    pub(crate) beta: Tensor<B, 1>,
    /// Term added to the variance.
    pub(crate) epsilon: f64,
}

impl<B: Backend> LayerNormParameters<B> {
    /// Returns whether they are those of rows of so many values, in f32.
    pub(super) fn fit(&self, width: usize) -> bool {
        [&self.gamma, &self.beta]
            .iter()
            .all(|values| values.dims() == [width] && all_f32(&[values.dtype()]))
    }

    /// Parameters in memory.
    pub(super) fn values(&self) -> LayerNormValues {
        let values = |tensor: &Tensor<B, 1>| contiguous(to_primitive(tensor.clone()));
        LayerNormValues {
            gamma: values(&self.gamma),
            beta: values(&self.beta),
            epsilon: self.epsilon as f32,
        }
    }
}

/// [`LayerNormParameters`] in memory.
pub(super) struct LayerNormValues {
    gamma: FlexTensor,
    beta: FlexTensor,
    epsilon: f32,
}

impl LayerNormValues {
    /// Normalises rows from one place to another, inside a kernel of `S`.
    #[inline(always)]
    pub(super) fn normalise<S: Simd>(&self, x: &[f32], out: &mut [f32]) {
        let (gamma, beta) = (values(&self.gamma), values(&self.beta));
        let rows = x.chunks_exact(gamma.len());
        for (x, out) in rows.zip(out.chunks_exact_mut(gamma.len())) {
            normalise::<S>(x, gamma, Some(beta), out, self.epsilon);
        }
    }

    /// Normalises rows in their place, inside a kernel of `S`.
    #[inline(always)]
    pub(super) fn normalise_in_place<S: Simd>(&self, x: &mut [f32]) {
        let (gamma, beta) = (values(&self.gamma), values(&self.beta));
        for x in x.chunks_exact_mut(gamma.len()) {
            let (mean, scale) = statistics::<S>(x, true, self.epsilon);
            for (x, (&g, &b)) in x.iter_mut().zip(gamma.iter().zip(beta)) {
                *x = mul_add::<S>((*x - mean) * scale, g, b);
            }
        }
    }
}

/// Mean and reciprocal of the deviation of a row.
#[inline(always)]
fn statistics<S: Simd>(row: &[f32], centred: bool, epsilon: f32) -> (f32, f32) {
    let width = row.len() as f32;
    let mean = if centred {
        sum(row, |x| x) / width
    } else {
        0.0
    };
    let variance = sum(row, |x| (x - mean) * (x - mean)) / width;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Normalises rows.
struct Forward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: Option<&'a [f32]>,
    out: &'a mut [f32],
    epsilon: f32,
}

impl Kernel for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let width = self.gamma.len();
        for (x, out) in self
            .x
            .chunks_exact(width)
            .zip(self.out.chunks_exact_mut(width))
        {
            normalise::<S>(x, self.gamma, self.beta, out, self.epsilon);
        }
    }
}

/// Normalises a row, inside a kernel of `S`.
#[inline(always)]
pub(super) fn normalise<S: Simd>(
    x: &[f32],
    gamma: &[f32],
    beta: Option<&[f32]>,
    out: &mut [f32],
    epsilon: f32,
) {
    let (mean, scale) = statistics::<S>(x, beta.is_some(), epsilon);
    let inputs = x.iter().zip(gamma);
    match beta {
        Some(beta) => {
            for (y, ((&x, &g), &b)) in out.iter_mut().zip(inputs.zip(beta)) {
                *y = mul_add::<S>((x - mean) * scale, g, b);
            }
        }
        None => {
            for (y, (&x, &g)) in out.iter_mut().zip(inputs) {
                *y = x * scale * g;
            }
        }
    }
}

/// Turns the gradient of rows into that of their input and accumulates those of gamma and beta.
struct RowsBackward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    grad: &'a mut [f32],
    gamma_grad: &'a mut [f32],
    beta_grad: &'a mut [f32],
    centred: bool,
    epsilon: f32,
}

impl Kernel for RowsBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let width = self.gamma.len();
        for (x, grad) in self
            .x
            .chunks_exact(width)
            .zip(self.grad.chunks_exact_mut(width))
        {
            let (mean, scale) = statistics::<S>(x, self.centred, self.epsilon);
            let sums = self.gamma_grad.iter_mut().zip(self.beta_grad.iter_mut());
            // The gradient of the normalised row replaces that of the output.
            for (((g, &x), &gamma), (dg, db)) in grad.iter_mut().zip(x).zip(self.gamma).zip(sums) {
                *dg = mul_add::<S>(*g, (x - mean) * scale, *dg);
                *db += *g;
                *g *= gamma;
            }
            let (total, along) = sum_pairs(grad, x, |g, x| (g, g * ((x - mean) * scale)));
            let total = if self.centred {
                total / width as f32
            } else {
                0.0
            };
            let along = along / width as f32;
            for (g, &x) in grad.iter_mut().zip(x) {
                *g = scale * (*g - total - (x - mean) * scale * along);
            }
        }
    }
}

fn rows_of_task(width: usize) -> usize {
    (CHUNK / width).max(1)
}

fn forward(x: FlexTensor, gamma: FlexTensor, beta: Option<FlexTensor>, epsilon: f32) -> FlexTensor {
    let (x, gamma, beta) = (contiguous(x), contiguous(gamma), beta.map(contiguous));
    let (input, gamma) = (values(&x), values(&gamma));
    let chunk = rows_of_task(gamma.len()) * gamma.len();
    let out = fill_chunks(input.len(), chunk, |index, out| {
        let x = &input[index * chunk..][..out.len()];
        dispatch(Forward {
            x,
            gamma,
            beta: beta.as_ref().map(values),
            out,
            epsilon,
        });
    });
    tensor(out, x.shape())
}

/// Gradients of x, gamma and beta.
fn backward(
    x: FlexTensor,
    gamma: FlexTensor,
    grad: FlexTensor,
    centred: bool,
    epsilon: f32,
) -> [FlexTensor; 3] {
    let (x, gamma, mut grad) = (contiguous(x), contiguous(gamma), contiguous(grad));
    let (input, gamma) = (values(&x), values(&gamma));
    let width = gamma.len();
    let chunk = rows_of_task(width) * width;
    let tasks = input.len().div_ceil(chunk);
    let mut partial = vec![0.0; tasks * 2 * width];
    grad.storage_mut::<f32>()
        .par_chunks_mut(chunk)
        .zip(partial.par_chunks_mut(2 * width))
        .enumerate()
        .for_each(|(index, (grad, partial))| {
            let x = &input[index * chunk..][..grad.len()];
            let (gamma_grad, beta_grad) = partial.split_at_mut(width);
            dispatch(RowsBackward {
                x,
                gamma,
                grad,
                gamma_grad,
                beta_grad,
                centred,
                epsilon,
            });
        });
    // Added in row order, so that the result does not depend on the threads.
    let mut total = vec![0.0; 2 * width];
    for partial in partial.chunks_exact(2 * width) {
        for (total, part) in total.iter_mut().zip(partial) {
            *total += part;
        }
    }
    let beta_grad = total.split_off(width);
    let shape = Shape::new([width]);
    [grad, tensor(total, shape.clone()), tensor(beta_grad, shape)]
}

#[derive(Debug, Clone)]
struct State {
    x: NodeId,
    gamma: NodeId,
    epsilon: f32,
}

#[derive(Debug)]
struct NormBackward;

/// Backward pass with `N` parents: x, gamma and, for layer norm, beta.
impl<const N: usize> Backward<Flex, N> for NormBackward {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let x = checkpointer.retrieve_node_output::<FlexTensor>(ops.state.x);
        let gamma = checkpointer.retrieve_node_output::<FlexTensor>(ops.state.gamma);
        let parts = backward(x, gamma, grad, N == 3, ops.state.epsilon);
        for (parent, grad) in ops.parents.into_iter().zip(parts) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}

fn tracked<C: CheckpointStrategy, const N: usize>(
    parents: [TrackedTensor; N],
    epsilon: f32,
) -> TrackedTensor {
    let nodes = parents.each_ref().map(|parent| parent.node.clone());
    let run = |parents: [TrackedTensor; N]| {
        let mut parents = parents.into_iter().map(|parent| parent.primitive);
        let (Some(x), Some(gamma)) = (parents.next(), parents.next()) else {
            unreachable!("a norm has two or three parents")
        };
        forward(x, gamma, parents.next(), epsilon)
    };
    match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let x = prep.checkpoint(&parents[0]);
            let gamma = prep.checkpoint(&parents[1]);
            prep.finish(State { x, gamma, epsilon }, run(parents))
        }
        OpsKind::UnTracked(prep) => prep.finish(run(parents)),
    }
}

fn tracked_input<B: Backend, C: CheckpointStrategy, const D: usize>(
    input: NormInput<B, D>,
) -> Tensor<B, D> {
    let NormInput {
        x,
        gamma,
        beta,
        epsilon,
    } = input;
    let epsilon = epsilon as f32;
    from_primitive(match beta {
        Some(beta) => tracked::<C, 3>(
            [to_primitive(x), to_primitive(gamma), to_primitive(beta)],
            epsilon,
        ),
        None => tracked::<C, 2>([to_primitive(x), to_primitive(gamma)], epsilon),
    })
}

/// Computes the normalised input, or returns the arguments.
pub(crate) fn norm<B: Backend, const D: usize>(
    input: NormInput<B, D>,
) -> Result<Tensor<B, D>, NormInput<B, D>> {
    let width = input.x.dims()[D - 1];
    let beta_fits = input
        .beta
        .as_ref()
        .is_none_or(|beta| beta.dims() == [width] && all_f32(&[beta.dtype()]));
    let fits = width > 0
        && beta_fits
        && input.gamma.dims() == [width]
        && all_f32(&[input.x.dtype(), input.gamma.dtype()]);
    let Some(kind) = FlexKind::of::<B>().filter(|_| fits) else {
        return Err(input);
    };
    Ok(match kind {
        FlexKind::Inference => {
            let NormInput {
                x,
                gamma,
                beta,
                epsilon,
            } = input;
            from_primitive(forward(
                to_primitive(x),
                to_primitive(gamma),
                beta.map(to_primitive),
                epsilon as f32,
            ))
        }
        FlexKind::Autodiff => tracked_input::<B, NoCheckpointing, D>(input),
        FlexKind::AutodiffBalanced => tracked_input::<B, BalancedCheckpointing, D>(input),
    })
}
