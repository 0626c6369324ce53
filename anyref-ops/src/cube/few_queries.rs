//! Attention of a few queries, in one launch and without scores in memory.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{
    address_type, along_last, cube_count, token_rows, type_of, view_vector_size,
};
use super::masks::{LOWEST, is_masked};
use super::operation::{KernelOperation, TensorType};
use super::reading::row_start;
use super::reduce::{cube_max, cube_sum};

/// Units of a cube, and keys that it scores at a time.
const UNITS: usize = 128;
/// Longest vector that a unit reads.
const VECTOR: usize = 8;

/// Attention with online softmax in f32.
///
/// Inputs are queries, `[batch, heads, queries, d]`, keys, `[batch, kv_heads, keys, d]`, values,
/// `[batch, kv_heads, keys, dv]`, of the type of the keys, and, if there is one, a mask, each of
/// whose dimensions is 1 or that of `[batch, heads, queries, keys]`. All but the mask may be views,
/// such as the heads of rows of tokens, or a batch of one expanded. The output is `[batch, heads,
/// queries, dv]`, in the type of the queries, and in memory `[batch, queries, heads, dv]`, rows of
/// tokens again. A query whose every key is masked attends to all keys alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FewQueries {
    /// Factor of the scores.
    pub(crate) scale: f64,
    /// The last query sees all keys, the one before it one key less, and so on.
    pub(crate) causal: bool,
    /// Whether there is a mask.
    pub(crate) masked: bool,
}

impl FewQueries {
    /// Maximum queries for which the kernel is meant: each reads all keys.
    const QUERIES: usize = 16;
    /// Maximum width of queries and keys, which a cube holds.
    const WIDTH: usize = 512;

    /// Returns whether the kernel suits queries and values of these shapes.
    pub(crate) fn suits(query: [usize; 4], value: [usize; 4]) -> bool {
        let [_, heads, queries, width] = query;
        let [_, kv_heads, keys, value_width] = value;
        (1..=Self::QUERIES).contains(&queries)
            && heads <= 65_535
            && kv_heads > 0
            && keys > 0
            && (1..=Self::WIDTH).contains(&width)
            // A unit holds a vector of components, of one at least.
            && (1..=UNITS).contains(&value_width)
    }
}

impl KernelOperation for FewQueries {
    fn name(&self) -> &'static str {
        "anyref.few_queries"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let ([batch, heads, queries, _], [.., width]) = (inputs[0].dims(), inputs[2].dims::<4>());
        vec![TensorType::new(
            [batch, heads, queries, width],
            inputs[0].dtype,
        )]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let mut inputs = inputs.into_iter();
        let mut next = || along_last(inputs.next().expect("an input"));
        let (query, key, value) = (next(), next(), next());
        // A missing mask is not read.
        let mask = inputs.next().map(into_contiguous);
        let mask = mask.unwrap_or_else(|| query.clone());
        let [batch, heads, queries, width] = types[0].dims();
        let [.., value_width] = types[2].dims::<4>();
        let output = token_rows(&query, [batch, heads, queries, value_width]);
        let size = view_vector_size(&[&query, &key, &value], VECTOR);
        let client = query.client.clone();
        let dtypes = [query.dtype.into(), key.dtype.into(), mask.dtype.into()];
        attend::launch(
            &client,
            cube_count([queries, heads, batch]),
            CubeDim::new_1d(UNITS as u32),
            address_type(&[&query, &key, &value, &mask]),
            size,
            query.into_tensor_arg(),
            key.into_tensor_arg(),
            value.into_tensor_arg(),
            mask.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            self.scale as f32,
            width / size,
            value_width / size,
            self.causal,
            self.masked,
            dtypes,
        );
        vec![output]
    }
}

/// Attention of a query of a head, a cube each: queries, heads and batch are the axes.
#[allow(
    clippy::collapsible_if,
    reason = "the outer condition is known when the kernel is compiled"
)]
#[cube(launch, address_type = "dynamic")]
fn attend<F: Float, K: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<K, N>>,
    value: &Tensor<Vector<K, N>>,
    mask: &Tensor<M>,
    output: &mut Tensor<Vector<F, N>>,
    scale: f32,
    #[comptime] vectors: usize,
    #[comptime] value_vectors: usize,
    #[comptime] causal: bool,
    #[comptime] masked: bool,
    #[define(F, K, M)] _dtypes: [StorageType; 3],
) {
    let size = query.vector_size();
    // Units that add the values of the same components for different keys.
    let teams = comptime!(UNITS / value_vectors);
    let mut partial = SharedMemory::<f32>::new(UNITS);
    let mut weights = SharedMemory::<f32>::new(UNITS);
    let mut states = SharedMemory::<f32>::new(comptime!(vectors * size));
    let mut sums = SharedMemory::<f32>::new(comptime!(teams * value_vectors * size));

    let unit = UNIT_POS as usize;
    let (index, head, batch) = (
        CUBE_POS_X as usize,
        CUBE_POS_Y as usize,
        CUBE_POS_Z as usize,
    );
    let (heads, queries) = (query.shape(1), query.shape(2));
    let keys = key.shape(2);
    let kv_head = head * key.shape(1) / heads;
    let query_start = row_start(query, batch, head, index);
    let (first_key, key_step) = (row_start(key, batch, kv_head, 0), key.stride(2) / size);
    let (first_value, value_step) = (row_start(value, batch, kv_head, 0), value.stride(2) / size);

    let mut place = unit;
    while place < vectors {
        let values = Vector::<f32, N>::cast_from(query[query_start + place]);
        #[unroll]
        for i in 0..size {
            states[place * size + i] = values[i] * scale;
        }
        place += UNITS;
    }
    sync_cube();

    let column = unit % value_vectors;
    let team = unit / value_vectors;
    let mut attended = Vector::<f32, N>::zeroed();
    let mut top = f32::new(LOWEST * 10.0);
    let mut total = f32::new(0.0);
    let mut first = 0usize;
    while first < keys {
        let current = first + unit;
        let mut score = f32::new(LOWEST * 10.0);
        if current < keys {
            score = f32::new(0.0);
            let start = first_key + current * key_step;
            for part in 0..vectors {
                let values = Vector::<f32, N>::cast_from(key[start + part]);
                #[unroll]
                for i in 0..size {
                    score += values[i] * states[part * size + i];
                }
            }
            if comptime!(causal) {
                // Counted from the end, so that nothing is below 0.
                if keys - current < queries - index {
                    score = f32::new(LOWEST);
                }
            }
            if comptime!(masked) {
                if is_masked(mask, batch, head, index, current) {
                    score = f32::new(LOWEST);
                }
            }
        }
        let highest = max(top, cube_max(score, &mut partial, UNITS));
        let mut weight = f32::new(0.0);
        if current < keys {
            weight = (score - highest).exp();
        }
        weights[unit] = weight;
        let kept = (top - highest).exp();
        total = total * kept + cube_sum(weight, &mut partial, UNITS);
        top = highest;

        #[unroll]
        for i in 0..size {
            attended[i] *= kept;
        }
        if team < teams {
            let count = min(UNITS, keys - first);
            let mut turn = team;
            while turn < count {
                let from = first_value + (first + turn) * value_step + column;
                let values = Vector::<f32, N>::cast_from(value[from]);
                let weight = weights[turn];
                #[unroll]
                for i in 0..size {
                    attended[i] += weight * values[i];
                }
                turn += teams;
            }
        }
        // The weights are read before the next ones are written.
        sync_cube();
        first += UNITS;
    }

    if team < teams {
        #[unroll]
        for i in 0..size {
            sums[unit * size + i] = attended[i];
        }
    }
    sync_cube();
    if unit < value_vectors {
        let mut whole = Vector::<f32, N>::zeroed();
        for team in 0..teams {
            #[unroll]
            for i in 0..size {
                whole[i] += sums[(team * value_vectors + unit) * size + i];
            }
        }
        #[unroll]
        for i in 0..size {
            whole[i] /= total;
        }
        let row = (batch * queries + index) * heads + head;
        output[row * value_vectors + unit] = Vector::cast_from(whole);
    }
}
