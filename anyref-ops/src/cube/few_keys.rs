//! Attention of many queries to a few keys, in one launch and without scores in memory.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{
    address_type, along_last, cube_index, cubes, token_rows, type_of, view_vector_size,
};
use super::operation::{KernelOperation, TensorType, exactly};
use super::reading::row_start;

/// Units of a cube.
const UNITS: usize = 128;
/// Longest vector that a unit reads.
const VECTOR: usize = 8;

/// Attention with online softmax in f32, a unit for each query of a head.
///
/// Inputs are queries, `[batch, heads, queries, d]`, keys, `[batch, kv_heads, keys, d]`, and
/// values, `[batch, kv_heads, keys, dv]`, of the type of the keys. They may be views, such as the
/// heads of rows of tokens, or a batch of one expanded. The output is `[batch, heads, queries,
/// dv]`, in the type of the queries, and in memory `[batch, queries, heads, dv]`, rows of tokens
/// again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FewKeys {
    /// Factor of the scores.
    pub(crate) scale: f64,
}

impl FewKeys {
    /// Maximum keys for which the kernel is meant: each unit reads all of them.
    const KEYS: usize = 32;
    /// Maximum width of queries and of values, which a unit holds.
    const WIDTH: usize = 64;

    /// Returns whether the kernel suits queries and values of these shapes.
    pub(crate) fn suits(query: [usize; 4], value: [usize; 4]) -> bool {
        let [batch, heads, queries, width] = query;
        let [_, kv_heads, keys, value_width] = value;
        batch * heads * queries > 0
            && kv_heads > 0
            && (1..=Self::KEYS).contains(&keys)
            && (1..=Self::WIDTH).contains(&width)
            && (1..=Self::WIDTH).contains(&value_width)
    }
}

impl KernelOperation for FewKeys {
    fn name(&self) -> &'static str {
        "anyref.few_keys"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let ([batch, heads, queries, _], [.., width]) = (inputs[0].dims(), inputs[2].dims::<4>());
        let shape = [batch, heads, queries, width];
        vec![TensorType::new(shape, inputs[0].dtype)]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let inputs: Vec<_> = inputs.into_iter().map(along_last).collect();
        let [query, key, value] = exactly(inputs);
        let [batch, heads, queries, width] = type_of(&query).dims();
        let [.., value_width] = type_of(&value).dims::<4>();
        let output = token_rows(&query, [batch, heads, queries, value_width]);
        let size = view_vector_size(&[&query, &key, &value], VECTOR);
        let client = query.client.clone();
        let dtypes = [query.dtype.into(), key.dtype.into()];
        let units = batch * queries * heads;
        attend::launch(
            &client,
            cubes(units.div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            address_type(&[&query, &key, &value, &output]),
            size,
            query.into_tensor_arg(),
            key.into_tensor_arg(),
            value.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            self.scale as f32,
            units,
            width / size,
            value_width / size,
            dtypes,
        );
        vec![output]
    }
}

/// Attention of a query of a head, a unit each, heads of a query side by side.
#[cube(launch, address_type = "dynamic")]
fn attend<F: Float, K: Float, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<K, N>>,
    value: &Tensor<Vector<K, N>>,
    output: &mut Tensor<Vector<F, N>>,
    scale: f32,
    units: usize,
    #[comptime] vectors: usize,
    #[comptime] value_vectors: usize,
    #[define(F, K)] _dtypes: [StorageType; 2],
) {
    let size = query.vector_size();
    let cube = cube_index();
    let unit = cube * UNITS + UNIT_POS as usize;
    if unit < units {
        let (heads, queries) = (query.shape(1), query.shape(2));
        let (head, row) = (unit % heads, unit / heads);
        let (index, batch) = (row % queries, row / queries);
        let (kv_heads, keys) = (key.shape(1), key.shape(2));
        let kv_head = head * kv_heads / heads;
        let start = row_start(query, batch, head, index);
        let (first_key, key_step) = (row_start(key, batch, kv_head, 0), key.stride(2) / size);
        let first_value = row_start(value, batch, kv_head, 0);
        let value_step = value.stride(2) / size;

        let mut state = Array::<f32>::new(comptime!(vectors * size));
        #[unroll]
        for part in 0..vectors {
            let values = Vector::<f32, N>::cast_from(query[start + part]);
            #[unroll]
            for i in 0..size {
                state[part * size + i] = values[i] * scale;
            }
        }
        let width = comptime!(value_vectors * size);
        let mut attended = Array::<f32>::new(width);
        #[unroll]
        for place in 0..width {
            attended[place] = f32::new(0.0);
        }
        // The first key's score is above it, and exp(0) stands for a score equal to the highest.
        let mut top = f32::new(-1.0e30);
        let mut total = f32::new(0.0);
        for current in 0..keys {
            let mut score = f32::new(0.0);
            #[unroll]
            for part in 0..vectors {
                let from = first_key + current * key_step + part;
                let values = Vector::<f32, N>::cast_from(key[from]);
                #[unroll]
                for i in 0..size {
                    score += values[i] * state[part * size + i];
                }
            }
            let highest = max(top, score);
            let kept = (top - highest).exp();
            let weight = (score - highest).exp();
            total = total * kept + weight;
            top = highest;
            #[unroll]
            for part in 0..value_vectors {
                let from = first_value + current * value_step + part;
                let values = Vector::<f32, N>::cast_from(value[from]);
                #[unroll]
                for i in 0..size {
                    let place = part * size + i;
                    attended[place] = attended[place] * kept + weight * values[i];
                }
            }
        }
        #[unroll]
        for part in 0..value_vectors {
            let mut whole = Vector::<f32, N>::zeroed();
            #[unroll]
            for i in 0..size {
                whole[i] = attended[part * size + i] / total;
            }
            output[unit * value_vectors + part] = Vector::cast_from(whole);
        }
    }
}
