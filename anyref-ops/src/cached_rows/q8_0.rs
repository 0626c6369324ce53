//! Rows in blocks of 32 eight-bit integers with one scale (GGML's `Q8_0`).

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Int, Tensor};

use crate::words::{IN_WORD, bytes_of_words, words_of_bytes};

/// Values of a block.
pub(crate) const BLOCK: usize = 32;
/// Bytes of a scale.
pub(crate) const SCALE_BYTES: u64 = 2;

/// Rows `[batch, heads, length, width]` in blocks along the width.
#[derive(Debug, Clone)]
pub struct Q8_0Rows<B: Backend> {
    /// `[batch, heads, length, width / 4]` in i32: four values a word, the first in the lowest
    /// byte, each with 128 added. Zeros stand for zeros.
    pub(crate) words: Tensor<B, 4, Int>,
    /// `[batch, heads, length, width / 32]`, in f16 where the device has it, or f32.
    pub(crate) scales: Tensor<B, 4>,
}

impl<B: Backend> Q8_0Rows<B> {
    /// Rounds each block to multiples of the 127th part of its largest value.
    pub(crate) fn quantize(rows: Tensor<B, 4>) -> Self {
        let ([batch, heads, length, width], device) = (rows.dims(), rows.device());
        let (count, blocks) = (batch * heads * length, width / BLOCK);
        let dtype = match B::supports_dtype(&device, DType::F16) {
            true => DType::F16,
            false => DType::F32,
        };
        let values = rows.cast(DType::F32).reshape([count * blocks, BLOCK]);
        let scales = (values.clone().abs().max_dim(1) / 127.0).cast(dtype);
        // As the scale is read again; a block of zeros has none.
        let steps = scales.clone().cast(DType::F32);
        let zero = steps.clone().equal_elem(0.0);
        let values = (values / steps.mask_fill(zero, 1.0))
            .round()
            .clamp(-127.0, 127.0);
        let bytes = (values + 128.0).int().cast(DType::I32);
        let bytes = bytes.reshape([count, width / IN_WORD, IN_WORD]);
        Self {
            words: words_of_bytes(bytes).reshape([batch, heads, length, width / IN_WORD]),
            scales: scales.reshape([batch, heads, length, blocks]),
        }
    }

    /// Shape of the values, `[batch, heads, length, width]`.
    pub fn dims(&self) -> [usize; 4] {
        let [batch, heads, length, words] = self.words.dims();
        [batch, heads, length, words * IN_WORD]
    }

    /// Values as floats of a type.
    pub(crate) fn values(&self, dtype: DType) -> Tensor<B, 4> {
        let [batch, heads, length, width] = self.dims();
        let (count, blocks) = (batch * heads * length, width / BLOCK);
        let words = self.words.clone().reshape([count, width / IN_WORD]);
        let values = bytes_of_words(words).float().cast(DType::F32) - 128.0;
        let scales = self.scales.clone().cast(DType::F32);
        let values = values.reshape([count, blocks, BLOCK]) * scales.reshape([count, blocks, 1]);
        values.reshape([batch, heads, length, width]).cast(dtype)
    }
}
