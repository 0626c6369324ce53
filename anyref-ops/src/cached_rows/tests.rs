//! Rows in each type, by the fused form and by the composed one.

use burn::tensor::{DType, TensorData};
use burn_flex::Flex;

use super::q8_0::BLOCK;
use super::*;
use crate::testing::{assert_close, max_abs_error, random};

/// Rows with a block of zeros, a large value in another, and tiny ones.
fn rows() -> Tensor<Flex, 4> {
    let rows = random::<Flex, 4>([2, 3, 5, 96], 1, &Default::default());
    let rows = rows.slice_fill([0..1, 0..1, 0..1, 0..32], 0.0);
    let rows = rows.slice_fill([0..1, 0..1, 1..2, 32..33], 3.0e4);
    rows.slice_fill([0..1, 0..1, 2..3, 64..96], 1.0e-5)
}

fn floats<const D: usize>(tensor: &Tensor<Flex, D>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

#[test]
fn blocks_are_off_by_half_a_step_at_most() {
    let rows = rows();
    let expected = floats(&rows);
    let forms = [quantized(rows.clone()), Q8_0Rows::quantize(rows)];
    for quantized in &forms {
        assert_eq!(quantized.dims(), [2, 3, 5, 96]);
        let (found, scales) = (
            floats(&quantized.values(DType::F32)),
            floats(&quantized.scales),
        );
        let blocks = expected.chunks_exact(BLOCK).zip(found.chunks_exact(BLOCK));
        for (scale, (expected, found)) in scales.iter().zip(blocks) {
            for (x, y) in expected.iter().zip(found) {
                // The largest value may be 127 steps and a 2048th part of them, since a scale is a
                // half.
                let largest = x.abs() / 2048.0;
                assert!(
                    (x - y).abs() <= 0.5001 * scale + largest + 4e-6,
                    "{x} {y} of {scale}"
                );
            }
        }
    }
    let [fused, composed] = forms;
    assert_eq!(fused.words.to_data(), composed.words.to_data());
    assert_eq!(fused.scales.to_data(), composed.scales.to_data());
    let both = [dequantized(&fused, DType::F32), composed.values(DType::F32)];
    assert_eq!(max_abs_error(&both[0], &both[1]), 0.0);
}

#[test]
fn bytes_are_those_of_the_type() {
    let rows = random::<Flex, 4>([1, 2, 8, 64], 3, &Default::default());
    for cache_type in CacheType::ALL {
        let kept = CachedRows::new(rows.clone(), cache_type);
        assert_eq!(kept.dims(), rows.dims());
        assert_eq!(kept.bytes() as u64, cache_type.bytes(1024, DType::F32));
    }
}

/// Changes of rows are those of their values.
#[test]
fn changes_are_those_of_the_values() {
    let device = Default::default();
    let whole = random::<Flex, 4>([3, 2, 6, 64], 4, &device);
    let more = random::<Flex, 4>([3, 2, 2, 64], 5, &device);
    let order = || Tensor::<Flex, 1, Int>::from_data(TensorData::from([2, 0, 0, 1]), &device);
    for (cache_type, rounding) in [
        (CacheType::F32, 0.0),
        (CacheType::F16, 5e-4),
        (CacheType::Bf16, 4e-3),
        (CacheType::Q8_0, 5e-3),
    ] {
        let (kept, added) = (
            CachedRows::new(whole.clone(), cache_type),
            CachedRows::new(more.clone(), cache_type),
        );
        let values = |rows: &CachedRows<Flex>| rows.values(DType::F32);
        let (wide, wide_added) = (values(&kept), values(&added));
        assert_close(&wide, &whole, rounding);
        let same = |found: CachedRows<Flex>, expected: Tensor<Flex, 4>| {
            assert_eq!(
                max_abs_error(&values(&found), &expected),
                0.0,
                "{cache_type}"
            );
        };
        same(kept.truncate(4), wide.clone().narrow(2, 0, 4));
        same(kept.select(order()), wide.clone().select(0, order()));
        let indices = TensorData::from([0, 0, 1, 1, 2, 2]);
        let twice = Tensor::<Flex, 1, Int>::from_data(indices, &device);
        same(kept.repeat(2), wide.clone().select(0, twice));
        same(kept.zeros(3), Tensor::zeros([3, 2, 3, 64], &device));
        same(
            CachedRows::cat(vec![kept.clone(), added.clone()], 2),
            Tensor::cat(vec![wide.clone(), wide_added.clone()], 2),
        );
        same(
            CachedRows::cat(vec![kept.clone(), kept.clone()], 0),
            Tensor::cat(vec![wide.clone(), wide.clone()], 0),
        );
        let assigned = wide
            .clone()
            .slice_assign([0..3, 0..2, 3..5, 0..64], wide_added);
        // Once with a copy and once in place.
        same(kept.clone().assign(3, added.clone()), assigned.clone());
        same(kept.clone(), wide);
        same(kept.assign(3, added), assigned);
    }
}

#[test]
fn rows_with_gradients_are_kept_as_they_are() {
    use burn::backend::Autodiff;
    let rows = random::<Autodiff<Flex>, 4>([1, 1, 2, 32], 6, &Default::default());
    for cache_type in CacheType::ALL {
        let kept = CachedRows::new(rows.clone(), cache_type);
        assert!(matches!(kept, CachedRows::Float(rows) if rows.dtype() == DType::F32));
    }
}
