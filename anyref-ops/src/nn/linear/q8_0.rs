//! Weights in blocks of 32 eight-bit integers with one scale (GGML's `Q8_0`).

use core::ops::Range;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Int, Tensor, TensorData, f16};

use super::product_in_parts::product_in_parts;
use crate::blocks::{BlockType, Blocks, quantize};
use crate::words::{IN_WORD, bytes_of_words};

/// Block of [`Q8_0Block::LENGTH`] values `scale · values[i]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Q8_0Block {
    /// Size of a step.
    pub scale: f16,
    /// Steps, in `-127..=127`.
    pub values: [i8; Self::LENGTH],
}

impl Q8_0Block {
    /// Values of a block.
    pub const LENGTH: usize = 32;

    /// Rounds values to a block; the largest magnitude becomes step 127 or -127.
    pub fn quantize(values: &[f32; Self::LENGTH]) -> Self {
        let bytes = quantize(values, BlockType::Q8_0).expect("a whole block of a written format");
        Self::from_bytes(&bytes)
    }

    /// Parses a block as stored in GGUF files: the scale, then the steps.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            scale: f16::from_le_bytes([bytes[0], bytes[1]]),
            values: core::array::from_fn(|i| bytes[2 + i] as i8),
        }
    }

    /// Values as floats.
    pub fn dequantize(&self) -> [f32; Self::LENGTH] {
        let scale = self.scale.to_f32();
        self.values.map(|value| scale * f32::from(value))
    }
}

/// Weight `[d_input, d_output]` in blocks along the inputs of each output. Not trainable.
#[derive(Debug, Clone)]
pub struct Q8_0Weight<B: Backend> {
    /// `[d_output, d_input / 4]` in i32: four values a word, the first in the lowest byte, each
    /// offset by 128. Works on backends without eight-bit integers.
    words: Tensor<B, 2, Int>,
    /// `[d_output, d_input / 32]`, in f16 where the device has it, or f32.
    scales: Tensor<B, 2>,
}

impl<B: Backend> Q8_0Weight<B> {
    /// Puts blocks on a device.
    ///
    /// # Shapes
    /// - blocks: `d_output · d_input / 32`, those of one output after another
    ///
    /// # Panics
    /// When `d_input` is not a multiple of 32 or there are not as many blocks.
    pub fn new(blocks: &[Q8_0Block], [d_input, d_output]: [usize; 2], device: &B::Device) -> Self {
        assert!(d_input.is_multiple_of(Q8_0Block::LENGTH));
        assert_eq!(blocks.len(), d_output * d_input / Q8_0Block::LENGTH);
        let words: Vec<i32> = blocks
            .iter()
            .flat_map(|block| block.values.as_chunks::<IN_WORD>().0)
            .map(|values| i32::from_le_bytes(values.map(|value| (value as u8) ^ 0x80)))
            .collect();
        let words = TensorData::new(words, [d_output, d_input / IN_WORD]);
        let scales: Vec<f16> = blocks.iter().map(|block| block.scale).collect();
        let scales = TensorData::new(scales, [d_output, d_input / Q8_0Block::LENGTH]);
        let dtype = match B::supports_dtype(device, DType::F16) {
            true => DType::F16,
            false => DType::F32,
        };
        Self {
            words: Tensor::from_data(words, (device, DType::I32)),
            scales: Tensor::from_data(scales, (device, dtype)),
        }
    }

    /// Rounds a dense weight to blocks; returns `None` if it is not a matrix or `d_input` is not a
    /// multiple of 32.
    ///
    /// # Shapes
    /// - weight: `[d_input, d_output]`
    pub fn quantize(weight: &TensorData, device: &B::Device) -> Option<Self> {
        let [d_input, d_output]: [usize; 2] = weight.shape.as_slice().try_into().ok()?;
        if !d_input.is_multiple_of(Q8_0Block::LENGTH) {
            return None;
        }
        let values: Vec<f32> = weight.iter::<f32>().collect();
        let block = |index: usize| {
            let first = index * Q8_0Block::LENGTH;
            let (output, input) = (first / d_input, first % d_input);
            let values =
                core::array::from_fn(|offset| values[(input + offset) * d_output + output]);
            Q8_0Block::quantize(&values)
        };
        let count = d_output * d_input / Q8_0Block::LENGTH;
        let blocks: Vec<_> = (0..count).map(block).collect();
        Some(Self::new(&blocks, [d_input, d_output], device))
    }

    /// Shape, `[d_input, d_output]`.
    pub fn dims(&self) -> [usize; 2] {
        let [d_output, words] = self.words.dims();
        [words * IN_WORD, d_output]
    }

    /// Device of the blocks.
    pub fn device(&self) -> B::Device {
        self.words.device()
    }

    /// Moves the weight to a device.
    pub fn to_device(self, device: &B::Device) -> Self {
        Self {
            words: self.words.to_device(device),
            scales: self.scales.to_device(device),
        }
    }

    /// Blocks, `[d_output, d_input]`, as stored in files.
    pub fn to_blocks(&self) -> Blocks<'static> {
        let [d_input, d_output] = self.dims();
        let words = self.words.to_data();
        let words: Vec<i32> = words.iter::<i32>().collect();
        let scales = self.scales.to_data();
        let scales = scales.iter::<f32>().map(f16::from_f32);
        let in_block = words.chunks_exact(Q8_0Block::LENGTH / IN_WORD);
        let mut bytes = Vec::with_capacity(words.len() * IN_WORD * 34 / 32);
        for (scale, words) in scales.zip(in_block) {
            bytes.extend(scale.to_le_bytes());
            let values = words.iter().flat_map(|word| word.to_le_bytes());
            bytes.extend(values.map(|value| value ^ 0x80));
        }
        let blocks = Blocks::new(BlockType::Q8_0, [d_output, d_input], bytes);
        blocks.expect("whole blocks")
    }

    /// Values of some outputs, `[d_input, outputs.len()]` in f32.
    pub fn dequantize(&self, outputs: Range<usize>) -> Tensor<B, 2> {
        let [d_input, _] = self.dims();
        let count = outputs.len();
        let words = self.words.clone().narrow(0, outputs.start, count);
        let blocks = d_input / Q8_0Block::LENGTH;
        let values = bytes_of_words(words).float().cast(DType::F32) - 128.0;
        let values = values.reshape([count, blocks, Q8_0Block::LENGTH]);
        let scales = self.scales.clone().narrow(0, outputs.start, count);
        let scales = scales.cast(DType::F32).reshape([count, blocks, 1]);
        (values * scales).reshape([count, d_input]).transpose()
    }

    /// Computes some of the outputs of `x · weight + bias`, with a bounded number of weights as
    /// floats at once.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - bias: `[outputs.len()]`
    /// - output: `[.., outputs.len()]`, in the type of `x`
    pub fn product<const D: usize>(
        &self,
        x: Tensor<B, D>,
        outputs: Range<usize>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        let [d_input, _] = self.dims();
        product_in_parts(x, d_input, outputs, bias, |part| self.dequantize(part))
    }
}

impl<B: AutodiffBackend> Q8_0Weight<B> {
    /// Weight on the backend without gradients.
    pub fn inner(&self) -> Q8_0Weight<B::InnerBackend> {
        Q8_0Weight {
            words: self.words.clone().inner(),
            scales: self.scales.clone().inner(),
        }
    }

    /// Weight on the backend with gradients.
    pub fn from_inner(weight: Q8_0Weight<B::InnerBackend>) -> Self {
        Self {
            words: Tensor::from_inner(weight.words),
            scales: Tensor::from_inner(weight.scales),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_off_by_half_a_step_at_most() {
        let values: [f32; 32] = core::array::from_fn(|i| ((i * 37) % 19) as f32 * 0.1 - 0.9);
        let block = Q8_0Block::quantize(&values);
        let step = block.scale.to_f32();
        for (found, expected) in block.dequantize().iter().zip(values) {
            // The scale is rounded to f16.
            assert!((found - expected).abs() <= 0.5 * step + 127.0 * step * 1e-3);
        }
        assert!(block.values.contains(&-127) || block.values.contains(&127));
        assert_eq!(Q8_0Block::quantize(&[0.0; 32]).dequantize(), [0.0; 32]);
    }

    #[test]
    #[cfg(feature = "flex")]
    fn words_hold_every_value() {
        use burn_flex::Flex;
        let block = |first: i32| Q8_0Block {
            scale: f16::from_f32(0.5),
            values: core::array::from_fn(|i| (first + 8 * i as i32).clamp(-127, 127) as i8),
        };
        let blocks: Vec<_> = (0..6).map(|i| block(i - 127)).collect();
        let weight = Q8_0Weight::<Flex>::new(&blocks, [64, 3], &Default::default());
        let found = weight.dequantize(0..3).transpose().into_data();
        let expected: Vec<f32> = blocks.iter().flat_map(Q8_0Block::dequantize).collect();
        assert_eq!(found.to_vec::<f32>().unwrap(), expected);
        let bytes = weight.to_blocks().bytes().to_vec();
        let read: Vec<_> = bytes.chunks_exact(34).map(Q8_0Block::from_bytes).collect();
        assert_eq!(read.len(), blocks.len());
        for (found, expected) in read.iter().zip(&blocks) {
            assert_eq!(
                (found.scale, found.values),
                (expected.scale, expected.values)
            );
        }
        // Outputs in parts.
        let part = weight.dequantize(1..2).into_data().to_vec::<f32>().unwrap();
        assert_eq!(part, expected[64..128]);
    }
}
