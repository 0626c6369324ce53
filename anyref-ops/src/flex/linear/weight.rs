//! View of a weight matrix in place.

use core::ops::Range;

use burn::tensor::TensorMetadata;
use burn_flex::FlexTensor;

use super::stored::Stored;

/// Matrix `[depth, width]`, inputs by outputs, as the right side of a product.
#[derive(Clone, Copy)]
pub(crate) struct Weight<'a, H> {
    /// Values from the first on.
    values: &'a [H],
    /// Inputs.
    pub(crate) depth: usize,
    /// Outputs.
    pub(crate) width: usize,
    /// Order of the values in a line.
    pub(crate) order: Order,
    /// Distance between two lines.
    stride: usize,
}

/// Contents of a line in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Inputs of one output, as PyTorch stores linear layers.
    Inputs,
    /// Outputs of one input, as burn does.
    Outputs,
}

/// Returns the tensor `[inputs, outputs]` in one of the two orders, copied where it has neither.
pub(crate) fn in_lines(tensor: FlexTensor) -> FlexTensor {
    match order(&tensor) {
        Some(_) => tensor,
        None => tensor.to_contiguous(),
    }
}

/// Order of a matrix and the stride of its lines; `None` for other layouts.
pub(crate) fn order(tensor: &FlexTensor) -> Option<(Order, usize)> {
    let shape = tensor.shape();
    match *tensor.layout().strides() {
        [1, stride] if stride >= shape[0] as isize => Some((Order::Inputs, stride as usize)),
        [stride, 1] if stride >= shape[1] as isize => Some((Order::Outputs, stride as usize)),
        _ => None,
    }
}

impl<'a, H> Weight<'a, H> {
    /// Views a tensor that [`in_lines`] returned.
    pub(crate) fn new(tensor: &'a FlexTensor) -> Self
    where
        H: Stored,
    {
        let (order, stride) = order(tensor).expect("the tensor is in lines");
        let (shape, values) = (tensor.shape(), H::storage(tensor));
        Self {
            values: &values[tensor.layout().start_offset().min(values.len())..],
            depth: shape[0],
            width: shape[1],
            order,
            stride,
        }
    }

    /// Transposed matrix, from outputs to inputs.
    pub(crate) fn transposed(self) -> Self {
        Self {
            depth: self.width,
            width: self.depth,
            order: match self.order {
                Order::Inputs => Order::Outputs,
                Order::Outputs => Order::Inputs,
            },
            ..self
        }
    }

    /// Number of lines, and values of each.
    pub(crate) fn lines(&self) -> (usize, usize) {
        match self.order {
            Order::Inputs => (self.width, self.depth),
            Order::Outputs => (self.depth, self.width),
        }
    }

    /// Submatrix of some inputs and outputs.
    pub(crate) fn part(self, inputs: Range<usize>, outputs: Range<usize>) -> Self {
        let first = match self.order {
            Order::Inputs => outputs.start * self.stride + inputs.start,
            Order::Outputs => inputs.start * self.stride + outputs.start,
        };
        Self {
            values: &self.values[first..],
            depth: inputs.len(),
            width: outputs.len(),
            ..self
        }
    }

    /// Values from the first on, and the stride of the lines.
    pub(crate) fn values(&self) -> (&'a [H], usize) {
        (self.values, self.stride)
    }

    /// Asks the processor to fetch one of `parts` parts of the matrix into its caches.
    #[inline]
    pub(crate) fn prefetch(&self, part: usize, parts: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            /// Bytes of a cache line.
            const LINE: usize = 64;
            let (lines, length) = self.lines();
            let together = lines.div_ceil(parts);
            for index in part * together..lines.min((part + 1) * together) {
                let line = self.line(index, 0, length).as_ptr_range();
                let (mut at, end) = (line.start.cast::<i8>(), line.end.cast::<i8>());
                while at < end {
                    // SAFETY: a hint, of an address in the slice.
                    unsafe { _mm_prefetch::<_MM_HINT_T1>(at) };
                    at = at.wrapping_add(LINE);
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (part, parts);
    }

    /// `length` values of line `index`, from `first` on.
    #[inline(always)]
    pub(crate) fn line(&self, index: usize, first: usize, length: usize) -> &'a [H] {
        &self.values[index * self.stride + first..][..length]
    }
}

#[cfg(target_arch = "x86_64")]
impl<'a> Weight<'a, burn::tensor::bf16> {
    /// Values by two as words, and the stride of the lines in words, where an even number of inputs
    /// lies so that they can be read as words.
    pub(super) fn pairs(&self) -> Option<(&'a [f32], usize)> {
        let (depth, order) = (self.depth, self.order);
        if order != Order::Inputs || !depth.is_multiple_of(2) || !self.stride.is_multiple_of(2) {
            return None;
        }
        let pairs = self.values.as_ptr().cast::<f32>();
        if !pairs.is_aligned() {
            return None;
        }
        // SAFETY: aligned, no longer than the values, and any bit pattern is a value.
        let pairs = unsafe { core::slice::from_raw_parts(pairs, self.values.len() / 2) };
        Some((pairs, self.stride / 2))
    }
}
