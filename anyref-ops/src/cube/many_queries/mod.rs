//! Attention of many queries in one launch and without scores in memory.
//!
//! A cube of 128 units attends from 32 queries of a head (16 where heads are wider than 128), which
//! stay in shared memory, to 32 keys at a time, at most 64 components of which are in shared memory
//! at once, all in f32: 25 KiB at most for heads of up to 80, 31 KiB for heads of 128. Products are
//! multiplied and added in f32.
//!
//! [Tensor cores](tensor_cores) take attention in f16 and bf16 on CUDA, for heads of up to 128: a
//! cube attends from 64 queries to 64 or 32 keys at a time, by matrices of 16 x 16.
//!
//! For `t` queries, `s` keys and heads of `d`, a head takes `4 · t · s · d` floating-point
//! operations. It reads `t · d + 2 · s · d · t / 32` numbers, the second part by way of the
//! device's cache, and writes `t · d`; with scores in memory it would read and write `2 · t · s`
//! more, each.

mod choice;
mod gradient;
mod kernel;
mod matrix_tile;
mod operands;
mod positions;
mod steps;
mod tensor_cores;
mod tile;

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use self::kernel::Changes;
use self::operands::{Operands, Options};
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
        let options = Options {
            scale: self.scale as f32,
            changes: Changes {
                positioned: self.positioned,
                causal: self.causal,
                masked: self.masked,
            },
            keeping: self.keeping,
        };
        let operands = Operands::new(options, inputs);
        match operands.matrix_tile() {
            None => operands.launch_units(),
            // Tests are about tensor cores wherever there are some.
            Some(tile) if cfg!(test) => operands.launch_matrices(tile),
            Some(_) => choice::by_measurement(operands),
        }
    }
}
