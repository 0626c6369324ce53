//! The arguments of attention as strided views.

use super::super::buffer::{tensor, zeros};
use super::super::linear::Stored;
use burn::tensor::{DType, Shape, TensorMetadata};
use burn_flex::{FlexTensor, Layout};
use core::marker::PhantomData;
use core::ops::Range;

/// Inputs of an attention. Shapes have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) query: FlexTensor,
    pub(crate) key: FlexTensor,
    pub(crate) value: FlexTensor,
    /// Height and width, see [`RelativePosition`](crate::RelativePosition).
    pub(crate) position: Option<[FlexTensor; 2]>,
    pub(crate) options: Options,
}

/// Inputs that are not differentiated.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mask: Option<FlexTensor>,
    pub(crate) causal: bool,
    pub(crate) scale: f32,
    /// Whether products may be rounded, see [`AttentionInput`](crate::AttentionInput).
    pub(crate) rounded: bool,
}

/// The extents of an attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) head_dim: usize,
    pub(crate) value_dim: usize,
}

impl Extent {
    /// Query heads that share a key/value head.
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

impl Problem {
    /// Query, key, value and, with relative positions, height and width.
    pub(crate) fn new<const N: usize>(inputs: [FlexTensor; N], options: Options) -> Self {
        let mut inputs = inputs.iter().map(with_slices);
        let mut next = || inputs.next().expect("attention has three or five inputs");
        let (query, key, value) = (next(), next(), next());
        let position = (N == 5).then(|| [next(), next()]);
        Self {
            query,
            key,
            value,
            position,
            options,
        }
    }

    /// The extents.
    pub(crate) fn extent(&self) -> Extent {
        let [batch, heads, queries, head_dim] = self.query.shape().dims();
        let [_, kv_heads, keys, _] = self.key.shape().dims();
        let [.., value_dim] = self.value.shape().dims::<4>();
        Extent {
            batch,
            heads,
            kv_heads,
            queries,
            keys,
            head_dim,
            value_dim,
        }
    }
}

/// A rank 4 tensor whose rows (last dimension) are slices.
pub(crate) struct Rows<'a, E> {
    values: &'a [E],
    strides: [usize; 3],
    width: usize,
}

/// The tensor as it is when its rows are slices, else copied.
pub(crate) fn with_slices(tensor: &FlexTensor) -> FlexTensor {
    let layout = tensor.layout();
    let strides = layout.strides();
    let in_rows = strides[3] == 1 || layout.shape()[3] == 1;
    if in_rows && strides.iter().all(|&stride| stride >= 0) {
        tensor.clone()
    } else {
        tensor.to_contiguous()
    }
}

impl<'a, E> Rows<'a, E> {
    fn new(values: &'a [E], layout: &Layout, extents: [usize; 3]) -> Self {
        let strides = core::array::from_fn(|i| {
            // A dimension of one is broadcast.
            if layout.shape()[i] == 1 && extents[i] != 1 {
                0
            } else {
                layout.strides()[i] as usize
            }
        });
        Self {
            values: &values[layout.start_offset()..],
            strides,
            width: layout.shape()[3],
        }
    }

    /// Row `i` of head `h` of batch entry `b`.
    #[inline(always)]
    pub(crate) fn row(&self, b: usize, h: usize, i: usize) -> &'a [E] {
        let [batch, head, row] = self.strides;
        &self.values[b * batch + h * head + i * row..][..self.width]
    }

    /// The values from row `i` on, and the distance of rows.
    #[inline(always)]
    pub(crate) fn tail(&self, b: usize, h: usize, i: usize) -> (&'a [E], usize) {
        let [batch, head, row] = self.strides;
        (&self.values[b * batch + h * head + i * row..], row)
    }
}

/// The rows of a tensor that [`with_slices`] returned.
pub(crate) fn rows<E: Stored>(tensor: &FlexTensor) -> Rows<'_, E> {
    let [batch, heads, rows, _] = tensor.shape().dims();
    Rows::new(E::storage(tensor), tensor.layout(), [batch, heads, rows])
}

/// The rows of a tensor of words as the bytes of which they are made.
#[cfg(target_endian = "little")]
pub(crate) fn byte_rows(tensor: &FlexTensor) -> Rows<'_, u8> {
    const IN_WORD: usize = size_of::<i32>();
    let [batch, heads, rows, _] = tensor.shape().dims();
    let Rows {
        values,
        strides,
        width,
    } = Rows::<i32>::new(tensor.storage(), tensor.layout(), [batch, heads, rows]);
    // SAFETY: any word is four bytes.
    let values = unsafe {
        core::slice::from_raw_parts(values.as_ptr().cast::<u8>(), values.len() * IN_WORD)
    };
    Rows {
        values,
        strides: strides.map(|stride| stride * IN_WORD),
        width: width * IN_WORD,
    }
}

/// The rows of a mask, broadcast to `[batch, heads, queries]`.
pub(crate) fn mask_rows(mask: &FlexTensor, extent: Extent) -> Rows<'_, u8> {
    Rows::new(
        mask.storage(),
        mask.layout(),
        [extent.batch, extent.heads, extent.queries],
    )
}

/// A rank 4 tensor written row by row from several threads.
///
/// Laid out as `[batch, rows, heads, width]` if `interleaved`, in which form the heads are
/// joined by a mere reshape.
pub(crate) struct Output {
    values: Vec<f32>,
    shape: [usize; 4],
    strides: [usize; 3],
}

impl Output {
    /// All zeros, laid out in the manner of `like`.
    pub(crate) fn new(shape: [usize; 4], like: &FlexTensor) -> Self {
        let [batch, heads, rows, width] = shape;
        let strides = like.layout().strides();
        let interleaved = strides[2] > strides[1];
        Self {
            values: zeros(batch * heads * rows * width),
            shape,
            strides: if interleaved {
                [heads * rows * width, width, heads * width]
            } else {
                [heads * rows * width, rows * width, width]
            },
        }
    }

    /// A writer for tasks.
    pub(crate) fn writer(&mut self) -> Writer<'_> {
        Writer {
            values: self.values.as_mut_ptr(),
            shape: self.shape,
            strides: self.strides,
            borrow: PhantomData,
        }
    }

    /// The tensor.
    pub(crate) fn into_tensor(self) -> FlexTensor {
        let [batch, row, column] = self.strides.map(|stride| stride as isize);
        let flat = tensor(self.values, Shape::new([self.shape.iter().product()]));
        let layout = Layout::new(Shape::new(self.shape), vec![batch, row, column, 1], 0);
        FlexTensor::from_arc(flat.data_arc(), layout, DType::F32)
    }
}

/// Writes rows of an [`Output`].
pub(crate) struct Writer<'a> {
    values: *mut f32,
    shape: [usize; 4],
    strides: [usize; 3],
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: rows are disjoint, and `row` leaves it to its caller that one thread has each.
unsafe impl Sync for Writer<'_> {}
// SAFETY: as above.
unsafe impl Send for Writer<'_> {}

impl Writer<'_> {
    /// Row `i` of head `h` of batch entry `b`.
    ///
    /// # Safety
    /// No other reference to this row may be alive.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn row(&self, b: usize, h: usize, i: usize) -> &mut [f32] {
        let [batches, heads, rows, width] = self.shape;
        assert!(b < batches && h < heads && i < rows, "row out of bounds");
        let [batch, head, row] = self.strides;
        // SAFETY: in bounds; the caller has the row to itself.
        unsafe {
            core::slice::from_raw_parts_mut(self.values.add(b * batch + h * head + i * row), width)
        }
    }
}

/// The ranges that cover `0..len` in steps of `step`.
pub(crate) fn tiles(len: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len)
        .step_by(step)
        .map(move |start| start..(start + step).min(len))
}
