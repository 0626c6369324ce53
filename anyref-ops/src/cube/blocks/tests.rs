//! Kernels compared with the dense product of the dequantized blocks in f64.

use burn::backend::Autodiff;
use burn::module::{AutodiffModule, Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Int, Tensor, TensorData};

use super::product::DECODED;
use crate::blocks::random::{halves_of, random_blocks, random_bytes};
use crate::blocks::{BlockType, Blocks};
use crate::nn::{Embedding, EmbeddingWeight, Linear, LinearConfig, LinearWeight, PlaneWeight};

/// Formats with kernels.
const FORMATS: [BlockType; 5] = [
    BlockType::Q8_0,
    BlockType::Q4_0,
    BlockType::Q4_1,
    BlockType::Q4K,
    BlockType::Q6K,
];

/// Rounding of a type, relative to a value.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-11),
        DType::BF16 => 2f64.powi(-8),
        _ => 2f64.powi(-24),
    }
}

fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    dtype: DType,
) -> Tensor<B, D> {
    let device = Default::default();
    Tensor::from_data(
        TensorData::new(values, shape).convert_dtype(dtype),
        (&device, dtype),
    )
}

/// Numbers that every float type holds exactly.
fn inputs(count: usize, seed: u64) -> Vec<f32> {
    let values = random_bytes(count, seed);
    values
        .iter()
        .map(|&x| (f32::from(x) - 127.0) / 64.0)
        .collect()
}

/// `x · weightᵀ`, and the sums of the products' sizes.
fn dense(x: &[f32], weight: &[f32], columns: usize) -> Vec<(f64, f64)> {
    let mut sums = Vec::new();
    for x in x.chunks_exact(columns) {
        for weight in weight.chunks_exact(columns) {
            let products = || {
                let pairs = x.iter().zip(weight);
                pairs.map(|(&x, &w)| f64::from(x) * f64::from(w))
            };
            sums.push((products().sum(), products().map(f64::abs).sum()));
        }
    }
    sums
}

fn assert_near(case: &str, found: TensorData, expected: &[(f64, f64)], allowed: f64) {
    let found: Vec<f64> = found.iter::<f64>().collect();
    assert_eq!(found.len(), expected.len(), "{case}");
    for (index, (found, (expected, sizes))) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        let bound = allowed * sizes + 1e-6;
        assert!(
            error <= bound,
            "{case} [{index}]: {found}, not {expected}: {error} > {bound}"
        );
    }
}

/// Shapes, `[n, rows, columns]` in blocks: one row, a few, tiles with odd ends, and more rows than
/// are multiplied from the blocks.
const SHAPES: [[usize; 3]; 9] = [
    [1, 16, 1],
    [1, 131, 3],
    [2, 7, 2],
    [3, 33, 1],
    [8, 40, 5],
    [9, 65, 1],
    [33, 64, 3],
    [DECODED, 130, 1],
    [DECODED + 6, 50, 2],
];

/// Rounding of the operands of burn's products, which multiply widened weights, is `single` in f32.
fn products_are_those_of_the_dense_weight<B: Backend>(single: f64) {
    let device = B::Device::default();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        if !B::supports_dtype(&device, dtype) {
            continue;
        }
        for block_type in FORMATS {
            for [n, rows, count] in SHAPES {
                let columns = count * block_type.values();
                let blocks = random_blocks(block_type, [rows, columns], 11);
                let weight =
                    PlaneWeight::<B>::new(&blocks, &device).expect("a backend with kernels");
                let x = inputs(n * columns, 5);
                let expected = dense(&x, &blocks.dequantize(), columns);
                let found = weight.product(tensor::<B, 2>(x, [n, columns], dtype), None);
                assert_eq!((found.dims(), found.dtype()), ([n, rows], dtype));
                let case = format!("{block_type} {dtype:?} {n}x{columns}x{rows}");
                // The output is rounded, and beyond `DECODED` rows so are the weights.
                let by_burn = if n > DECODED { single } else { 0.0 };
                let allowed = 2.0 * epsilon(dtype).max(by_burn) + 32.0 * epsilon(DType::F32);
                assert_near(&case, found.into_data(), &expected, allowed);
            }
        }
    }
}

/// Values, for factors of every kind of half-precision number.
fn rows_are_those_of_the_blocks<B: Backend>() {
    let device = B::Device::default();
    for block_type in FORMATS {
        let (rows, columns) = (9, 3 * block_type.values());
        let mut bytes = random_blocks(block_type, [rows, columns], 3).into_bytes();
        let factors: [u16; 6] = [0x0000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xbc00];
        for (index, block) in bytes.chunks_exact_mut(block_type.bytes()).enumerate() {
            for &at in halves_of(block_type) {
                let factor = factors[(index + at) % factors.len()];
                block[at..at + 2].copy_from_slice(&factor.to_le_bytes());
            }
        }
        let blocks = Blocks::new(block_type, [rows, columns], bytes).unwrap();
        let weight = PlaneWeight::<B>::new(&blocks, &device).unwrap();
        let given = blocks.dequantize();
        let row = |row: usize| given[row * columns..][..columns].to_vec();
        let near = |found: TensorData, expected: Vec<f32>| {
            for (found, expected) in found.iter::<f32>().zip(expected) {
                // Sums of a product and a minimum may be rounded once or twice.
                let error = (found - expected).abs();
                assert!(
                    error <= 1e-6 * expected.abs() + 1e-12,
                    "{block_type}: {found}, not {expected}"
                );
            }
        };
        let part = weight.dequantize(2..7);
        assert_eq!(part.dims(), [columns, 5]);
        near(part.transpose().into_data(), (2..7).flat_map(row).collect());
        let asked = [8, 0, 3, 3];
        let indices = Tensor::<B, 1, Int>::from_data(asked.map(|row| row as i32), &device);
        let found = weight.rows(indices);
        assert_eq!(found.dims(), [4, columns]);
        near(found.into_data(), asked.into_iter().flat_map(row).collect());
        assert_eq!(weight.to_blocks().bytes(), blocks.bytes());
        assert!(weight.memory() <= blocks.bytes().len() * 26 / 25 + 2 * rows);
    }
}

/// Gradient of the input of products of one row and of many.
fn gradients_are_those_of_the_dense_weight<B: Backend>(single: f64) {
    let device = B::Device::default();
    for dtype in [DType::F32, DType::F16] {
        if !B::supports_dtype(&device, dtype) {
            continue;
        }
        for block_type in FORMATS {
            for n in [1, 5, DECODED + 3] {
                let (rows, columns) = (48, 2 * block_type.values());
                let blocks = random_blocks(block_type, [rows, columns], 7);
                let weight = PlaneWeight::<Autodiff<B>>::new(&blocks, &device).unwrap();
                let x = tensor::<Autodiff<B>, 2>(inputs(n * columns, 5), [n, columns], dtype);
                let x = x.require_grad();
                let along = inputs(n * rows, 9);
                let along_tensor = tensor(along.clone(), [n, rows], dtype);
                let product = weight.product(x.clone(), None);
                // Those of the sum, which would be tuned for each size.
                let gradients = (product * along_tensor).backward();
                let found = x.grad(&gradients).expect("a gradient");
                assert_eq!(found.dtype(), dtype);
                let given = blocks.dequantize();
                let transposed: Vec<f32> = (0..columns)
                    .flat_map(|column| (0..rows).map(move |row| (row, column)))
                    .map(|(row, column)| given[row * columns + column])
                    .collect();
                let expected = dense(&along, &transposed, rows);
                let case = format!("{block_type} {dtype:?} {n}x{columns}x{rows}");
                let allowed = 2.0 * epsilon(dtype).max(single) + 32.0 * epsilon(DType::F32);
                assert_near(&case, found.into_data(), &expected, allowed);
            }
        }
    }
}

/// Layers and tables of blocks, compared with those of equal floats.
fn layers_in_blocks_are_those_in_floats<B: Backend>() {
    let device = B::Device::default();
    let near = |found: TensorData, expected: TensorData| {
        assert_eq!(found.shape, expected.shape);
        for (found, expected) in found.iter::<f32>().zip(expected.iter::<f32>()) {
            assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
        }
    };
    for block_type in BlockType::ALL {
        let blocks = random_blocks(block_type, [70, 256], 2);
        let mut layer = LinearConfig::new(256, 70).init::<Autodiff<B>>(&device);
        layer.bias.as_ref().map(|bias| bias.val());
        layer.weight = LinearWeight::from_blocks(&blocks, &device);
        assert!(matches!(layer.weight, LinearWeight::Planes(_)));
        assert_eq!((layer.weight.dims(), layer.num_params()), ([256, 70], 70));
        assert_eq!(layer.weight.device(), device);
        let inner: Linear<B> = layer.valid();
        let mut floats = inner.clone();
        floats.weight = LinearWeight::Dense(Param::from_tensor(inner.weight.val()));
        let x = tensor::<B, 3>(inputs(2 * 3 * 256, 4), [2, 3, 256], DType::F32);
        let found = inner.forward(x.clone());
        near(found.into_data(), floats.forward(x.clone()).into_data());
        let part = inner.forward_outputs(x.clone(), 30..61);
        let expected = floats.forward_outputs(x.clone(), 30..61);
        near(part.into_data(), expected.into_data());

        let table = Embedding::<B> {
            weight: EmbeddingWeight::from_blocks(&blocks, &device),
        };
        assert!(matches!(table.weight, EmbeddingWeight::Planes(_)));
        assert_eq!(table.weight.lazy_shape().dims(), [70, 256]);
        let widened = Embedding {
            weight: Param::from_tensor(table.weight.val()).into(),
        };
        let ids = Tensor::<B, 2, Int>::from_data([[3, 69, 0], [7, 7, 1]], &device);
        let found = table.forward(ids.clone());
        near(found.into_data(), widened.forward(ids).into_data());
        let scores = table.scores(x.clone());
        near(scores.into_data(), widened.scores(x).into_data());
    }
}

/// Instantiates all tests of a backend, whose f32 products round their operands by a fraction.
macro_rules! backend {
    ($name:ident, $backend:ty, $single:expr) => {
        mod $name {
            type B = $backend;

            #[test]
            fn products_are_those_of_the_dense_weight() {
                super::products_are_those_of_the_dense_weight::<B>($single);
            }

            #[test]
            fn rows_are_those_of_the_blocks() {
                super::rows_are_those_of_the_blocks::<B>();
            }

            #[test]
            fn gradients_are_those_of_the_dense_weight() {
                super::gradients_are_those_of_the_dense_weight::<B>($single);
            }

            #[test]
            fn layers_in_blocks_are_those_in_floats() {
                super::layers_in_blocks_are_those_in_floats::<B>();
            }
        }
    };
}

#[cfg(feature = "wgpu")]
backend!(wgpu, burn::backend::Wgpu, 0.0);
#[cfg(feature = "vulkan")]
backend!(vulkan, burn::backend::Vulkan, 0.0);
#[cfg(feature = "vulkan")]
backend!(
    vulkan_without_fusion,
    burn::backend::wgpu::CubeBackend<burn::backend::wgpu::WgpuRuntime, f32, i32, u32>,
    0.0
);
#[cfg(feature = "cuda")]
// Tensor cores round their operands to tf32, with a fraction of ten bits.
backend!(cuda, burn::backend::Cuda, 2f64.powi(-11));
