//! Rotary positions in one pass; the backward pass turns by the opposite angles.

use super::buffer::{all_f32, for_each_chunk, values};
use super::contiguous::contiguous;
use super::simd::{Kernel, Simd, dispatch};
use crate::dispatch::{FlexKind, TrackedTensor, from_primitive, to_primitive};
use crate::rotary::Angles;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorMetadata};
use burn_flex::{Flex, FlexTensor};

/// Cosines and sines, `[batch or 1, 1, length, head_dim / 2]`.
#[derive(Debug, Clone)]
struct Turn {
    cos: FlexTensor,
    sin: FlexTensor,
    /// Turns by the opposite angles.
    back: bool,
}

/// Turns rows of one head, of `2 * half` values each, by rows of `half` angles.
struct Rows<'a> {
    x: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    half: usize,
    sign: f32,
}

impl Kernel for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let angles = self
            .cos
            .chunks_exact(self.half)
            .zip(self.sin.chunks_exact(self.half));
        for (row, (cos, sin)) in self.x.chunks_exact_mut(2 * self.half).zip(angles) {
            let (first, second) = row.split_at_mut(self.half);
            for ((a, b), (&c, &s)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                let (s, before) = (s * self.sign, *a);
                *a = before * c - *b * s;
                *b = *b * c + before * s;
            }
        }
    }
}

fn turned(x: FlexTensor, turn: &Turn) -> FlexTensor {
    let shape = x.shape();
    let (heads, length, half) = (shape[1], shape[2], shape[3] / 2);
    if shape.num_elements() == 0 {
        return x;
    }
    let mut x = contiguous(x);
    let (cos, sin) = (values(&turn.cos), values(&turn.sin));
    let angles = length * half;
    let shared = cos.len() == angles;
    for_each_chunk(x.storage_mut::<f32>(), 2 * angles, |head, x| {
        let at = if shared { 0 } else { head / heads * angles };
        dispatch(Rows {
            x,
            cos: &cos[at..][..angles],
            sin: &sin[at..][..angles],
            half,
            sign: if turn.back { -1.0 } else { 1.0 },
        });
    });
    x
}

#[derive(Debug)]
struct RotaryBackward;

impl Backward<Flex, 1> for RotaryBackward {
    type State = Turn;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<Flex>(&ops.node);
        let back = Turn {
            back: true,
            ..ops.state
        };
        if let [Some(parent)] = ops.parents {
            grads.register::<Flex>(parent.id, turned(grad, &back));
        }
    }
}

fn tracked<C: CheckpointStrategy>(x: TrackedTensor, turn: Turn) -> TrackedTensor {
    let node = [x.node.clone()];
    match RotaryBackward.prepare::<C>(node).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let y = turned(x.primitive, &turn);
            prep.finish(turn, y)
        }
        OpsKind::UnTracked(prep) => prep.finish(turned(x.primitive, &turn)),
    }
}

/// Turns the heads of `x` by the angles, or returns `x`.
pub(crate) fn rotary<B: Backend>(
    x: Tensor<B, 4>,
    angles: &Angles<B>,
) -> Result<Tensor<B, 4>, Tensor<B, 4>> {
    let [batch, _, length, width] = x.dims();
    let rows = angles.cos.dims();
    let fits = all_f32(&[x.dtype(), angles.cos.dtype(), angles.sin.dtype()])
        && width.is_multiple_of(2)
        && (rows[0] == 1 || rows[0] == batch)
        && rows[1..] == [1, length, width / 2]
        && angles.sin.dims() == rows;
    let Some(kind) = FlexKind::of::<B>().filter(|_| fits) else {
        return Err(x);
    };
    let turn = |part: fn(Tensor<B, 4>) -> FlexTensor| Turn {
        cos: contiguous(part(angles.cos.clone())),
        sin: contiguous(part(angles.sin.clone())),
        back: false,
    };
    let plain = |x: Tensor<B, 4>| to_primitive::<B, 4, TrackedTensor>(x).primitive;
    Ok(match kind {
        FlexKind::Inference => from_primitive(turned(to_primitive(x), &turn(to_primitive))),
        FlexKind::Autodiff => {
            from_primitive(tracked::<NoCheckpointing>(to_primitive(x), turn(plain)))
        }
        FlexKind::AutodiffBalanced => from_primitive(tracked::<BalancedCheckpointing>(
            to_primitive(x),
            turn(plain),
        )),
    })
}
