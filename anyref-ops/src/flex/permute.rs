//! Permuted copies by rows or tiles.

use super::buffer::{all_f32, fill_chunks, tensor};
use super::pack::interleave;
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
use burn_flex::{Flex, FlexTensor, Layout};

/// Side of the tiles in which rows and columns are exchanged.
const TILE: usize = 16;
/// Rows of a task where rows and columns of one matrix are exchanged.
const SLAB: usize = 4 * TILE;

/// Permutes the dimensions into the order `axes`; the result is contiguous.
fn forward(x: FlexTensor, axes: &[usize]) -> FlexTensor {
    let shape = x.shape();
    let permuted: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    if let Some(view) = in_order(&x, axes, &permuted) {
        return view;
    }
    let x = match ordered(&x, axes) {
        Some(out) => return tensor(out, Shape::from(permuted)),
        None => x.to_contiguous(),
    };
    let out = ordered(&x, axes).expect("contiguous tensors have no negative strides");
    tensor(out, Shape::from(permuted))
}

/// View whose values lie in the order `axes` of its dimensions, `permuted`, without a copy; `None`
/// where they lie otherwise.
fn in_order(x: &FlexTensor, axes: &[usize], permuted: &[usize]) -> Option<FlexTensor> {
    let layout = x.layout();
    let contiguous = Layout::contiguous(Shape::from(permuted.to_vec()));
    let dims = axes.iter().zip(permuted).zip(contiguous.strides());
    let mut placed = dims.filter(|((_, size), _)| **size != 1);
    let lies = placed.all(|((&axis, _), &stride)| layout.strides()[axis] == stride);
    // Contiguous tensors have nothing else in their buffers.
    let whole = layout.start_offset() == 0
        && x.bytes().len() == contiguous.num_elements() * size_of::<f32>();
    (lies && whole).then(|| FlexTensor::from_arc(x.data_arc(), contiguous, x.dtype()))
}

/// Values of a view in the order `axes` of its dimensions; `None` for negative strides.
pub(super) fn ordered(x: &FlexTensor, axes: &[usize]) -> Option<Vec<f32>> {
    let (layout, shape) = (x.layout(), x.shape());
    if layout.strides().iter().any(|&stride| stride < 0) {
        return None;
    }
    let dims = axes
        .iter()
        .map(|&axis| (shape[axis], layout.strides()[axis] as usize));
    let length = shape.num_elements();
    let values: &[f32] = x.storage();
    Some(copy(
        &values[layout.start_offset().min(values.len())..],
        dims,
        length,
    ))
}

/// Copies a view of `length` values in order; its dimensions are (size, stride in `input`).
fn copy(
    input: &[f32],
    dimensions: impl Iterator<Item = (usize, usize)>,
    length: usize,
) -> Vec<f32> {
    if length == 0 {
        return Vec::new();
    }
    // Drops dimensions of size 1 and merges neighbours that are contiguous.
    let mut dims: Vec<(usize, usize)> = Vec::new();
    for (size, stride) in dimensions.filter(|&(size, _)| size != 1) {
        match dims.last_mut() {
            Some(last) if last.1 == stride * size => *last = (last.0 * size, stride),
            _ => dims.push((size, stride)),
        }
    }
    let Some((outer, inner)) = dims.split_first().map(|(outer, inner)| (*outer, inner)) else {
        return vec![input[0]];
    };
    if inner.is_empty() {
        let mut out = vec![0.0; length];
        copy_slab(input, &dims, &mut out);
        return out;
    }
    if let [(_, 1), (columns, stride)] = dims[..] {
        let slab = SLAB * columns;
        return fill_chunks(length, slab, |index, out| {
            let rows = out.len() / columns;
            exchange(&input[index * SLAB..], rows, columns, stride, out);
        });
    }
    fill_chunks(length, length / outer.0, |index, out| {
        copy_slab(&input[index * outer.1..], inner, out);
    })
}

/// Fills `out`, of dimensions `dims`, from `input`.
fn copy_slab(input: &[f32], dims: &[(usize, usize)], out: &mut [f32]) {
    match *dims {
        [(_, 1)] => out.copy_from_slice(&input[..out.len()]),
        [(_, 0)] => out.fill(input[0]),
        [(_, stride)] => {
            for (out, value) in out.iter_mut().zip(input.iter().step_by(stride)) {
                *out = *value;
            }
        }
        [(rows, 1), (columns, stride)] => exchange(input, rows, columns, stride, out),
        [(_, stride), ref rest @ ..] => {
            let slab = rest.iter().map(|(size, _)| size).product();
            for (index, out) in out.chunks_exact_mut(slab).enumerate() {
                copy_slab(&input[index * stride..], rest, out);
            }
        }
        [] => {}
    }
}

/// Transposes by tiles: `out[row, column] = input[column * stride + row]`. A tile reads whole cache
/// lines, each once where vectors are as long; otherwise those of few columns at a time, since
/// columns a power of two apart share cache sets.
fn exchange(input: &[f32], rows: usize, columns: usize, stride: usize, out: &mut [f32]) {
    for row in (0..rows).step_by(TILE) {
        let height = TILE.min(rows - row);
        let line = |c: usize| match c < columns {
            true => &input[c * stride + row..][..height],
            false => &[],
        };
        let mut column = 0;
        while column + TILE <= columns {
            let lines: [_; TILE] = core::array::from_fn(|c| line(column + c));
            interleave(lines, &mut out[row * columns + column..], columns);
            column += TILE;
        }
        while column < columns {
            let lines: [_; 4] = core::array::from_fn(|c| line(column + c));
            interleave(lines, &mut out[row * columns + column..], columns);
            column += 4;
        }
    }
}

/// Inverse of the permutation `axes`.
fn inverse(axes: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; axes.len()];
    for (position, &axis) in axes.iter().enumerate() {
        inverse[axis] = position;
    }
    inverse
}

#[derive(Debug)]
struct PermuteBackward;

impl Backward<Flex, 1> for PermuteBackward {
    type State = Vec<usize>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [parent] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node);
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, forward(grad, &inverse(&ops.state)));
        }
    }
}

fn tracked<C: CheckpointStrategy>(x: TrackedTensor, axes: &[usize]) -> TrackedTensor {
    match PermuteBackward
        .prepare::<C>([x.node.clone()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish(axes.to_vec(), forward(x.primitive, axes)),
        OpsKind::UnTracked(prep) => prep.finish(forward(x.primitive, axes)),
    }
}

/// Computes the permuted copy of `x`, or returns `x`.
pub(crate) fn permute<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    axes: [usize; D],
) -> Result<Tensor<B, D>, Tensor<B, D>> {
    let Some(kind) = FlexKind::of::<B>().filter(|_| all_f32(&[x.dtype()])) else {
        return Err(x);
    };
    Ok(match kind {
        FlexKind::Inference => from_primitive(forward(to_primitive(x), &axes)),
        FlexKind::Autodiff => from_primitive(tracked::<NoCheckpointing>(to_primitive(x), &axes)),
        FlexKind::AutodiffBalanced => {
            from_primitive(tracked::<BalancedCheckpointing>(to_primitive(x), &axes))
        }
    })
}

/// `x ← x + y` for each row of `x`.
struct AddRow<'a>(&'a mut [f32], &'a [f32]);

impl Kernel for AddRow<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for row in self.0.chunks_exact_mut(self.1.len()) {
            for (x, y) in row.iter_mut().zip(self.1) {
                *x += y;
            }
        }
    }
}

/// Values of the last permuted dimension of a view that all others repeat.
fn repeated_row(y: &FlexTensor, axes: &[usize]) -> Option<Vec<f32>> {
    let (layout, shape) = (y.layout(), y.shape());
    let (&last, others) = axes.split_last()?;
    let repeats = |axis: usize| shape[axis] == 1 || layout.strides()[axis] == 0;
    let stride = usize::try_from(layout.strides()[last]).ok()?;
    let values: &[f32] = y.storage();
    let values = values[layout.start_offset()..]
        .iter()
        .step_by(stride.max(1));
    let row: Vec<f32> = values.take(shape[last]).copied().collect();
    (stride > 0 && row.len() == shape[last] && others.iter().all(|&axis| repeats(axis)))
        .then_some(row)
}

/// Computes the permuted copy of `x + y` without gradients, where `y` repeats one row of the result
/// and rows and columns of one matrix are exchanged; otherwise returns the arguments.
#[allow(clippy::type_complexity)]
pub(crate) fn permuted_sum<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    y: Tensor<B, D>,
    axes: [usize; D],
) -> Result<Tensor<B, D>, (Tensor<B, D>, Tensor<B, D>)> {
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[x.dtype(), y.dtype()])
        && x.dims() == y.dims();
    if !fits {
        return Err((x, y));
    }
    let (input, added): (FlexTensor, FlexTensor) =
        (to_primitive(x.clone()), to_primitive(y.clone()));
    let (shape, dims) = (input.shape(), x.dims());
    let matrix = input.is_contiguous() && in_sequence(&axes, &dims);
    let Some(row) = repeated_row(&added, &axes).filter(|_| matrix) else {
        return Err((x, y));
    };
    let columns = row.len();
    let rows = shape.num_elements() / columns.max(1);
    let values: &[f32] = input.storage();
    let values = &values[input.layout().start_offset()..];
    let slab = SLAB * columns;
    let out = fill_chunks(rows * columns, slab, |index, out| {
        exchange(
            &values[index * SLAB..],
            out.len() / columns,
            columns,
            rows,
            out,
        );
        dispatch(AddRow(out, &row));
    });
    let permuted: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    Ok(from_primitive(tensor(out, Shape::from(permuted))))
}

/// Returns whether all dimensions of more than one value but the last permuted one keep their order
/// behind it: one matrix is transposed.
fn in_sequence(axes: &[usize], dims: &[usize]) -> bool {
    let (last, others) = axes.split_last().expect("a dimension");
    let others: Vec<_> = others.iter().filter(|&&axis| dims[axis] != 1).collect();
    others.is_sorted() && others.iter().all(|axis| *axis > last)
}

#[cfg(test)]
mod tests {
    use burn::backend::Autodiff;
    use burn::tensor::{Distribution, Tensor};
    use burn_flex::{Flex, FlexTensor};

    use crate::dispatch::to_primitive;

    type B = Autodiff<Flex>;

    /// Compares values and gradients with burn's own permutation.
    fn check<const D: usize>(shape: [usize; D], axes: [usize; D]) {
        let device = Default::default();
        let x = Tensor::<B, D>::random(shape, Distribution::Default, &device).require_grad();
        let weights = axes.map(|axis| shape[axis]);
        let weights = Tensor::<B, D>::random(weights, Distribution::Default, &device);
        let ours = crate::permute(x.clone(), axes);
        let theirs = x.clone().permute(axes.map(|axis| axis as isize));
        assert_eq!(ours.to_data(), theirs.to_data(), "{shape:?} {axes:?}");
        let gradient = |y: Tensor<B, D>| {
            x.grad(&(y * weights.clone()).sum().backward())
                .expect("a gradient")
                .into_data()
        };
        assert_eq!(gradient(ours), gradient(theirs), "{shape:?} {axes:?}");
    }

    #[test]
    fn sums_with_a_row_are_those_of_each_operation() {
        let device = Default::default();
        for [channels, height, width] in [[3, 5, 7], [64, 16, 16], [35, 40, 9]] {
            let shape = [1, channels, height, width];
            let x = Tensor::<Flex, 4>::random(shape, Distribution::Default, &device);
            let row = Tensor::<Flex, 2>::random([1, channels], Distribution::Default, &device);
            let y = row.reshape([1, channels, 1, 1]).expand(shape);
            let axes = [0, 2, 3, 1];
            let expected = (x.clone() + y.clone()).permute(axes.map(|axis| axis as isize));
            let found = super::permuted_sum(x.clone(), y.clone(), axes).unwrap();
            assert_eq!(found.to_data(), expected.to_data());
            // Others are left to the caller.
            assert!(super::permuted_sum(x.clone(), x.clone(), axes).is_err());
            assert!(super::permuted_sum(x, y, [0, 1, 3, 2]).is_err());
        }
    }

    #[test]
    fn values_in_order_are_not_copied() {
        let device = Default::default();
        let x = Tensor::<Flex, 3>::random([3, 5, 7], Distribution::Default, &device);
        let turned = x.clone().permute([2, 0, 1]);
        let found = crate::permute(turned.clone(), [1, 2, 0]);
        assert_eq!(found.to_data(), x.to_data());
        let at = |x: Tensor<Flex, 3>| to_primitive::<Flex, 3, FlexTensor>(x).bytes().as_ptr();
        assert_eq!(at(found), at(x));
        // A part of a buffer is copied.
        let part = turned.narrow(1, 1, 2);
        let found = crate::permute(part.clone(), [1, 2, 0]);
        assert_eq!(found.to_data(), part.permute([1, 2, 0]).to_data());
    }

    #[test]
    fn equals_burns_permutation() {
        check([3, 5], [1, 0]);
        check([40, 33, 17], [0, 2, 1]);
        check([40, 33, 17], [2, 1, 0]);
        check([1, 37, 64], [0, 2, 1]);
        check([2, 6, 4, 8], [0, 2, 1, 3]);
        check([2, 6, 1, 8], [3, 2, 1, 0]);
        check([2, 2, 4, 2, 4, 24], [0, 1, 3, 2, 4, 5]);
        check([3, 2, 7, 2, 7], [0, 2, 4, 1, 3]);
        check([1, 1, 1], [2, 0, 1]);
        check([5, 4], [0, 1]);
        check([64, 96, 20], [1, 2, 0]);
    }

    #[test]
    fn reads_views_as_they_look() {
        let device = Default::default();
        let x = Tensor::<Flex, 3>::random([4, 6, 5], Distribution::Default, &device);
        let view = x.swap_dims(0, 2).narrow(1, 1, 4);
        let wide = view.clone().narrow(0, 2, 1).expand([3, 4, 4]);
        let ours = crate::permute(wide.clone(), [1, 0, 2]);
        assert_eq!(ours.to_data(), wide.permute([1, 0, 2]).to_data());
        let ours = crate::permute(view.clone(), [2, 0, 1]);
        assert_eq!(ours.to_data(), view.permute([2, 0, 1]).to_data());
    }
}
