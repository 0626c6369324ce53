//! Attention of many queries in one launch and without scores in memory.
//!
//! A cube of 128 units attends from 32 queries of a head (16 where heads are wider than 128), which
//! stay in shared memory, to 32 keys at a time, at most 64 components of which are in shared memory
//! at once, all in f32: 25 KiB at most for heads of up to 80, 31 KiB for heads of 128. Products are
//! multiplied and added in f32, without tensor cores.
//!
//! For `t` queries, `s` keys and heads of `d`, a head takes `4 · t · s · d` floating-point
//! operations. It reads `t · d + 2 · s · d · t / 32` numbers, the second part by way of the
//! device's cache, and writes `t · d`; with scores in memory it would read and write `2 · t · s`
//! more, each.

mod gradient;
mod kernel;
mod positions;
mod steps;
mod tile;

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use self::kernel::{Changes, attend, attend_keeping};
use self::tile::{Tile, VECTOR};
use super::launching::{
    address_type, along_last, buffer, cube_count, token_rows, type_of, view_vector_size,
};
use super::operation::{KernelOperation, TensorType};

pub(crate) use gradient::AttentionGradient;
pub(crate) use positions::PositionProducts;

/// Attention with online softmax in f32.
///
/// Inputs are queries, `[batch, heads, queries, d]`, keys, `[batch, kv_heads, keys, d]`, values,
/// `[batch, kv_heads, keys, dv]`, of the type of the keys; if there is one, a mask, each of whose
/// dimensions is 1 or that of `[batch, heads, queries, keys]`; and, if there are any, relative
/// positions over a grid of keys, `[batch, heads, queries, rows]` and `[batch, heads, queries,
/// columns]`, in the type of the queries. All but the mask are read in any order, as views are. The
/// output is `[batch, heads, queries, dv]`, in the type of the queries and in memory in the order
/// `[batch, queries, heads, dv]`, in which models go on. A query whose every key is masked attends
/// to all keys alike. If statistics are kept, a second output has the largest score of each query
/// and the sum of its weights relative to that, `[batch, heads, queries, 2]` in f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ManyQueries {
    /// Factor of the scores.
    pub(crate) scale: f64,
    /// The last query sees all keys, the one before it one key less, and so on.
    pub(crate) causal: bool,
    /// Whether there is a mask.
    pub(crate) masked: bool,
    /// Whether there are relative positions.
    pub(crate) positioned: bool,
    /// Whether statistics are kept, as the [gradient](AttentionGradient) needs them.
    pub(crate) keeping: bool,
}

impl ManyQueries {
    /// Maximum width of queries, keys and values.
    const WIDTH: usize = 256;
    /// Maximum number of queries: devices have at most 65535 cubes of one axis, and the smallest
    /// tile has 4 queries.
    pub(crate) const MOST_QUERIES: usize = 4 * 65_535;

    /// Returns whether the kernel suits queries, values and the grid of relative positions.
    pub(crate) fn suits(query: [usize; 4], value: [usize; 4], grid: Option<[usize; 2]>) -> bool {
        let [batch, heads, queries, width] = query;
        let [_, kv_heads, keys, value_width] = value;
        [batch, heads]
            .into_iter()
            .all(|count| (1..=65_535).contains(&count))
            && kv_heads > 0
            && keys > 0
            && (1..=Self::MOST_QUERIES).contains(&queries)
            && grid.is_none_or(|[rows, columns]| rows * columns == keys)
            && [width, value_width]
                .into_iter()
                .all(|width| (1..=Self::WIDTH).contains(&width))
    }
}

/// Bytes of shared memory that a cube may have.
fn shared_memory<R: CubeRuntime>(tensor: &CubeTensor<R>) -> usize {
    tensor.client.properties().hardware.max_shared_memory_size
}

impl KernelOperation for ManyQueries {
    fn name(&self) -> &'static str {
        "anyref.many_queries"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let ([batch, heads, queries, _], [.., width]) = (inputs[0].dims(), inputs[2].dims::<4>());
        let output = TensorType::new([batch, heads, queries, width], inputs[0].dtype);
        let statistics = TensorType::new([batch, heads, queries, 2], DType::F32);
        let statistics = self.keeping.then_some(statistics);
        core::iter::once(output).chain(statistics).collect()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let outputs = self.output_types(&types);
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many tensors as there should be");
        let [query, key, value] = [next(), next(), next()].map(along_last);
        // What is missing is not read.
        let mask = match self.masked {
            true => into_contiguous(next()),
            false => query.clone(),
        };
        let [height, width] = match self.positioned {
            true => [next(), next()],
            false => [query.clone(), query.clone()],
        };
        let [batch, heads, queries, value_width] = outputs[0].dims();
        let output = token_rows(&query, [batch, heads, queries, value_width]);
        let size = view_vector_size(&[&query, &key, &value], VECTOR);
        let widths = [types[0].dims::<4>()[3], value_width];
        let tile = Tile::new(widths, size, shared_memory(&query));
        let client = query.client.clone();
        let dtypes = [query.dtype.into(), key.dtype.into(), mask.dtype.into()];
        let count = cube_count([queries.div_ceil(tile.queries()), heads, batch]);
        let dim = CubeDim::new_1d(tile.units() as u32);
        let addresses = address_type(&[&query, &key, &value, &mask, &height, &width, &output]);
        let changes = Changes {
            positioned: self.positioned,
            causal: self.causal,
            masked: self.masked,
        };
        if !self.keeping {
            attend::launch(
                &client,
                count,
                dim,
                addresses,
                size,
                query.into_tensor_arg(),
                key.into_tensor_arg(),
                value.into_tensor_arg(),
                mask.into_tensor_arg(),
                height.into_tensor_arg(),
                width.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                self.scale as f32,
                tile,
                changes,
                dtypes,
            );
            return vec![output];
        }
        let statistics = buffer(&query, outputs[1].shape.clone(), outputs[1].dtype);
        attend_keeping::launch(
            &client,
            count,
            dim,
            addresses,
            size,
            query.into_tensor_arg(),
            key.into_tensor_arg(),
            value.into_tensor_arg(),
            mask.into_tensor_arg(),
            height.into_tensor_arg(),
            width.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            self.scale as f32,
            tile,
            changes,
            dtypes,
        );
        vec![output, statistics]
    }
}
