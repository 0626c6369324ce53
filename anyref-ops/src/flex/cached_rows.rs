//! Rows of eight-bit steps with scales, from f32 and back.

use super::buffer::{SMALL, all_f32, tensor};
use super::contiguous::contiguous;
use super::simd::{Kernel, Simd, dispatch, widen_f16};
use crate::cached_rows::Q8_0Rows;
use crate::cached_rows::q8_0::BLOCK;
use crate::dispatch::{FlexKind, from_primitive, same, to_primitive};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Shape, Tensor, TensorData, f16};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Values of a word.
const IN_WORD: usize = 4;
/// Blocks of a task.
const TASK: usize = SMALL / BLOCK;

type Words = [i32; BLOCK / IN_WORD];

/// Rounds blocks.
struct Quantize<'a> {
    values: &'a [[f32; BLOCK]],
    words: &'a mut [Words],
    scales: &'a mut [f16],
}

impl Kernel for Quantize<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        /// `x + MAGIC` has `x`, rounded to nearest even, in its lowest bits.
        const MAGIC: f32 = 12_582_912.0;
        let out = self.words.iter_mut().zip(self.scales);
        for (values, (words, scale)) in self.values.iter().zip(out) {
            // Values that are no numbers are the largest of all.
            let size = |x: f32| x.to_bits() & 0x7fff_ffff;
            let largest = f32::from_bits(values.iter().fold(0, |most, &x| size(x).max(most)));
            *scale = f16::from_f32(largest / 127.0);
            let step = widen_f16(scale.to_bits());
            let step = if step == 0.0 { 1.0 } else { step };
            for (word, values) in words.iter_mut().zip(values.as_chunks::<IN_WORD>().0) {
                *word = i32::from_le_bytes(values.map(|x| {
                    let steps = (x / step).clamp(-127.0, 127.0);
                    let steps = (steps + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits());
                    (steps as u8).wrapping_add(128)
                }));
            }
        }
    }
}

/// Rows in blocks, or back where backend or type are others than f32 on the processor without
/// gradients.
///
/// # Shapes
/// - rows: `[batch, heads, length, width]`, the width whole blocks
pub(crate) fn quantize_rows<B: Backend>(rows: Tensor<B, 4>) -> Result<Q8_0Rows<B>, Tensor<B, 4>> {
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference) && all_f32(&[rows.dtype()]);
    if !fits {
        return Err(rows);
    }
    let [batch, heads, length, width] = rows.dims();
    let rows: FlexTensor = contiguous(to_primitive(rows));
    let values = rows.storage::<f32>().as_chunks::<BLOCK>().0;
    let mut words = vec![[0; BLOCK / IN_WORD]; values.len()];
    let mut scales = vec![f16::ZERO; values.len()];
    let tasks = values.par_chunks(TASK);
    let out = words.par_chunks_mut(TASK).zip(scales.par_chunks_mut(TASK));
    tasks.zip(out).for_each(|(values, (words, scales))| {
        dispatch(Quantize {
            values,
            words,
            scales,
        })
    });
    let words = TensorData::new(
        words.into_flattened(),
        [batch, heads, length, width / IN_WORD],
    );
    let scales = TensorData::new(scales, [batch, heads, length, width / BLOCK]);
    Ok(Q8_0Rows {
        words: Tensor::from_primitive(same(FlexTensor::from_data(words))),
        scales: from_primitive(FlexTensor::from_data(scales)),
    })
}

/// Widens blocks.
struct Dequantize<'a> {
    words: &'a [Words],
    scales: &'a [f16],
    out: &'a mut [[f32; BLOCK]],
}

impl Kernel for Dequantize<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let blocks = self.words.iter().zip(self.scales);
        for (out, (words, scale)) in self.out.iter_mut().zip(blocks) {
            let scale = widen_f16(scale.to_bits());
            for (out, word) in out.as_chunks_mut::<IN_WORD>().0.iter_mut().zip(words) {
                *out = word
                    .to_le_bytes()
                    .map(|byte| scale * f32::from((byte ^ 0x80) as i8));
            }
        }
    }
}

/// Rows as f32; none on other backends.
pub(crate) fn dequantize_rows<B: Backend>(rows: &Q8_0Rows<B>) -> Option<Tensor<B, 4>> {
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && rows.words.dtype() == DType::I32
        && rows.scales.dtype() == DType::F16;
    if !fits {
        return None;
    }
    let shape = Shape::new(rows.dims());
    let words: FlexTensor = same(rows.words.clone().into_primitive());
    let scales: FlexTensor = to_primitive(rows.scales.clone());
    let (words, scales) = (words.to_contiguous(), scales.to_contiguous());
    let words = words.storage::<i32>().as_chunks().0;
    let mut out = vec![[0.0; BLOCK]; words.len()];
    let blocks = words
        .par_chunks(TASK)
        .zip(scales.storage().par_chunks(TASK));
    let tasks = out.par_chunks_mut(TASK).zip(blocks);
    tasks.for_each(|(out, (words, scales))| dispatch(Dequantize { words, scales, out }));
    Some(from_primitive(tensor(out.into_flattened(), shape)))
}
