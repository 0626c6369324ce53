//! Weights in blocks on a GPU.

use core::ops::Range;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::blocks::{BlockType, Blocks, PlaneLayout, pack_planes, unpack_planes};
use crate::cube::{BlockForms, block_forms};

/// Weight `[d_input, d_output]` in blocks along the inputs of each output, of any
/// [format](BlockType), in the memory of a GPU. Not trainable.
///
/// Kernels decode the blocks as they multiply, with sums in f32. For more than 64 rows, 4 million
/// values at most are widened at a time, to the type of the input; so they are for the gradient of
/// the input, which keeps nothing but the blocks until then. Copies share the memory.
#[derive(Debug, Clone)]
pub struct PlaneWeight<B: Backend> {
    /// `[d_output, words of a row]` in i32.
    words: Tensor<B, 2, Int>,
    layout: PlaneLayout,
}

/// Operations of a backend that has a weight in planes.
fn forms<B: Backend>() -> BlockForms<B> {
    block_forms().expect("the weight's backend has kernels")
}

impl<B: Backend> PlaneWeight<B> {
    /// Puts a matrix `[d_output, d_input]` on a device; `None` for backends without kernels.
    ///
    /// The values are equal, except for formats without their own kernels (`Q5_1`, `Q5_K`), which
    /// are rounded to `Q8_0` with a warning in the log.
    pub fn new(blocks: &Blocks<'_>, device: &B::Device) -> Option<Self> {
        block_forms::<B>()?;
        let (layout, words) = pack_planes(blocks);
        let words = TensorData::new(words, [layout.rows, layout.row_words()]);
        Some(Self {
            words: Tensor::from_data(words, (device, DType::I32)),
            layout,
        })
    }

    /// Shape, `[d_input, d_output]`.
    pub fn dims(&self) -> [usize; 2] {
        [self.layout.columns, self.layout.rows]
    }

    /// Format.
    pub fn block_type(&self) -> BlockType {
        self.layout.block_type
    }

    /// Blocks, `[d_output, d_input]`, as they were given, except for converted formats.
    pub fn to_blocks(&self) -> Blocks<'static> {
        let words: Vec<i32> = self.words.to_data().iter::<i32>().collect();
        unpack_planes(&self.layout, &words)
    }

    /// Bytes in the device's memory.
    pub fn memory(&self) -> usize {
        4 * self.layout.rows * self.layout.row_words()
    }

    /// Device of the blocks.
    pub fn device(&self) -> B::Device {
        self.words.device()
    }

    /// Moves the weight to a device.
    pub(in crate::nn) fn to_device(&self, device: &B::Device) -> Self {
        Self {
            words: self.words.clone().to_device(device),
            layout: self.layout,
        }
    }

    /// Values of some outputs, `[outputs, d_input]` in f32, one row for each. An output that is not
    /// there stands for the last one.
    pub fn rows(&self, outputs: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        (forms().rows)(self.words.clone(), outputs, self.layout, DType::F32)
    }

    /// Values of some outputs, `[d_input, outputs.len()]` in f32.
    pub fn dequantize(&self, outputs: Range<usize>) -> Tensor<B, 2> {
        (forms().range)(self.words.clone(), self.layout, outputs, DType::F32).transpose()
    }

    /// Computes `x · weight + bias`.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - bias: `[d_output]`
    /// - output: `[.., d_output]`, in the type of `x`
    pub fn product<const D: usize>(
        &self,
        x: Tensor<B, D>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        let (mut shape, dtype) = (x.dims(), x.dtype());
        let rows = shape[..D - 1].iter().product::<usize>();
        let x = x.reshape([rows, shape[D - 1]]);
        shape[D - 1] = self.layout.rows;
        let product = (forms().product)(x, self.words.clone(), self.layout);
        let product = match bias {
            Some(bias) => product + bias.cast(dtype).unsqueeze(),
            None => product,
        };
        product.reshape(shape)
    }

    /// Computes some of the outputs of `x · weight + bias`.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - bias: `[outputs.len()]`
    /// - output: `[.., outputs.len()]`, in the type of `x`
    pub(super) fn product_of<const D: usize>(
        &self,
        x: Tensor<B, D>,
        outputs: Range<usize>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        let count = outputs.len();
        let part = Self {
            words: self.words.clone().narrow(0, outputs.start, count),
            layout: PlaneLayout {
                rows: count,
                ..self.layout
            },
        };
        part.product(x, bias)
    }
}

impl<B: AutodiffBackend> PlaneWeight<B> {
    /// Weight on the backend without gradients.
    pub(in crate::nn) fn inner(&self) -> PlaneWeight<B::InnerBackend> {
        PlaneWeight {
            words: self.words.clone().inner(),
            layout: self.layout,
        }
    }

    /// Weight on the backend with gradients.
    pub(in crate::nn) fn from_inner(weight: PlaneWeight<B::InnerBackend>) -> Self {
        Self {
            words: Tensor::from_inner(weight.words),
            layout: weight.layout,
        }
    }
}
