//! Sines and cosines of angles in one pass.

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor, TensorMetadata};
use burn_flex::FlexTensor;

use super::buffer::{all_f32, fill_chunks, tensor, values};
use super::contiguous::contiguous;
use super::simd::{Kernel, Simd, dispatch, mul_add};
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Values of a task.
const CHUNK: usize = 8 * 1024;
/// Angles below this are reduced to a quarter turn without error.
const LARGEST: f32 = 8192.0;

/// Sine and cosine within 2e-7 of an angle below [`LARGEST`].
#[inline(always)]
fn sin_cos<S: Simd>(x: f32) -> (f32, f32) {
    // Rounds a small number when added to it, and leaves the integer in the low bits of the
    // mantissa.
    const ROUND: f32 = 12_582_912.0;
    let rounded = mul_add::<S>(x, core::f32::consts::FRAC_2_PI, ROUND);
    let n = rounded - ROUND;
    // A quarter turn in three parts, the first two exact when multiplied by a small integer.
    let r = mul_add::<S>(n, -1.570_312_5, x);
    let r = mul_add::<S>(n, -4.837_513e-4, r);
    let r = mul_add::<S>(n, -7.549_79e-8, r);
    let z = r * r;
    let mut sine = -1.951_529_6e-4;
    sine = mul_add::<S>(sine, z, 8.332_161e-3);
    sine = mul_add::<S>(sine, z, -1.666_665_5e-1);
    let sine = mul_add::<S>(sine * z, r, r);
    let mut cosine = 2.443_315_7e-5;
    cosine = mul_add::<S>(cosine, z, -1.388_731_6e-3);
    cosine = mul_add::<S>(cosine, z, 4.166_664_6e-2);
    let cosine = mul_add::<S>(cosine * z, z, mul_add::<S>(-0.5, z, 1.0));
    let quarter = rounded.to_bits();
    let odd = quarter & 1 != 0;
    let (first, second) = match odd {
        true => (cosine, sine),
        false => (sine, cosine),
    };
    let sign = |negative: u32, x: f32| f32::from_bits(x.to_bits() ^ (negative & 2) << 30);
    (sign(quarter, first), sign(quarter.wrapping_add(1), second))
}

/// Rows of `width` angles, to rows of twice the width.
struct Rows<'a> {
    angles: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { angles, width, out } = self;
        for (angles, out) in angles
            .chunks_exact(width)
            .zip(out.chunks_exact_mut(2 * width))
        {
            let (sines, cosines) = out.split_at_mut(width);
            for ((&x, sine), cosine) in angles.iter().zip(&mut *sines).zip(&mut *cosines) {
                (*sine, *cosine) = sin_cos::<S>(x);
            }
            // Infinite ones and those that are not numbers too.
            if !angles.iter().all(|x| x.abs() < LARGEST) {
                for ((x, sine), cosine) in angles.iter().zip(sines).zip(cosines) {
                    (*sine, *cosine) = x.sin_cos();
                }
            }
        }
    }
}

fn forward(x: FlexTensor) -> FlexTensor {
    let x = contiguous(x);
    let angles = values(&x);
    let mut shape: Vec<usize> = x.shape().to_vec();
    let last = shape.len() - 1;
    let width = shape[last];
    shape[last] = 2 * width;
    let rows = (CHUNK / width).max(1);
    let out = fill_chunks(2 * angles.len(), 2 * rows * width, |index, out| {
        let angles = &angles[index * rows * width..][..out.len() / 2];
        dispatch(Rows { angles, width, out });
    });
    tensor(out, Shape::from(shape))
}

/// Computes sines and cosines, or returns `x`.
pub(crate) fn sinusoids<B: Backend, const D: usize>(
    x: Tensor<B, D>,
) -> Result<Tensor<B, D>, Tensor<B, D>> {
    let inference = FlexKind::of::<B>() == Some(FlexKind::Inference);
    if !inference || !all_f32(&[x.dtype()]) || x.dims()[D - 1] == 0 {
        return Err(x);
    }
    Ok(from_primitive(forward(to_primitive(x))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_flex::Flex;

    #[test]
    fn angles_of_every_size_have_their_sine_and_cosine() {
        let mut angles: Vec<f32> = (-4000..4000).map(|i| i as f32 * 0.013_7).collect();
        angles.extend([0.0, 1e-20, 100.5, -1234.5, 8000.0, -8191.0, 1e5, -3e7, 1e-3]);
        let width = angles.len();
        let x = Tensor::<Flex, 2>::from_data(
            burn::tensor::TensorData::new(angles.repeat(3), [3, width]),
            &Default::default(),
        );
        let found = crate::sinusoids(x.clone()).into_data();
        let found = found.as_slice::<f32>().unwrap();
        for row in found.chunks_exact(2 * width) {
            for (i, &x) in angles.iter().enumerate() {
                let (sine, cosine) = f64::from(x).sin_cos();
                let errors = [f64::from(row[i]) - sine, f64::from(row[width + i]) - cosine];
                assert!(errors.iter().all(|e| e.abs() < 2e-7), "{x}: {errors:?}");
            }
        }
        let bad = x.slice([0..1, 0..2]) / 0.0;
        let bad = crate::sinusoids(bad).into_data();
        assert!(bad.as_slice::<f32>().unwrap().iter().all(|y| y.is_nan()));
    }
}
