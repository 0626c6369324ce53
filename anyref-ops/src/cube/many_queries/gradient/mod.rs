//! Gradients of attention in two launches and without scores in memory (FlashAttention-2, Dao
//! 2023).
//!
//! Probabilities are computed again from queries, keys and the statistics of the forward pass. With
//! `P` the probabilities, `G` the gradient of the output `O`, and `D = rowsum(G ∘ O)`:
//!
//! ```text
//! gradient of the scores   S = P ∘ (G · valueᵀ − D)
//! gradients                query: scale · S · key, key: scale · Sᵀ · query, value: Pᵀ · G
//! ```
//!
//! One kernel has a cube for each tile of queries, to which all keys pass by, and writes `D`; the
//! other has one for each tile of keys, to which the queries of all heads that share them pass by.
//! No two cubes write one number, so that results do not depend on the order of cubes. For `t`
//! queries, `s` keys and heads of `d`, a head takes `14 · t · s · d` floating-point operations.

mod keys;
mod queries;
mod tiles;

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use self::keys::key_gradients;
use self::queries::query_gradient;
use self::tiles::Tiles;
use super::kernel::Changes;
use super::tile::VECTOR;
use crate::cube::launching::{
    address_type, along_last, buffer, cube_count, shared_memory, token_rows, type_of,
    view_vector_size,
};
use crate::cube::operation::{KernelOperation, TensorType};

/// Gradients of queries, keys and values of an attention without relative positions.
///
/// Inputs are queries, keys, values and, if there is one, the mask of the forward pass, then its
/// output, the gradient of that, and its statistics. Queries, keys and values have one type; heads
/// are a multiple of those of keys. Outputs have the shapes and the type of queries, keys and
/// values, and lie in memory as rows of tokens. Sums are f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionGradient {
    /// Factor of the scores.
    pub(crate) scale: f64,
    /// The last query sees all keys, the one before it one key less, and so on.
    pub(crate) causal: bool,
    /// Whether there is a mask.
    pub(crate) masked: bool,
}

impl KernelOperation for AttentionGradient {
    fn name(&self) -> &'static str {
        "anyref.attention_gradient"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        inputs[..3].to_vec()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many tensors as there should be");
        let [query, key, value] = [next(), next(), next()].map(along_last);
        // A missing mask is not read.
        let mask = match self.masked {
            true => into_contiguous(next()),
            false => query.clone(),
        };
        let [attended, gradient] = [next(), next()].map(along_last);
        let statistics = into_contiguous(next());
        let [batch, heads, queries, width] = type_of(&query).dims();
        let [_, kv_heads, keys, value_width] = type_of(&value).dims();
        let along = buffer(&query, Shape::new([batch, heads, queries]), DType::F32);
        let of_queries = token_rows(&query, [batch, heads, queries, width]);
        let of_keys = token_rows(&query, [batch, kv_heads, keys, width]);
        let of_values = token_rows(&query, [batch, kv_heads, keys, value_width]);

        let size = view_vector_size(&[&query, &key, &value, &attended, &gradient], VECTOR);
        let tiles = Tiles::new([width, value_width], size, shared_memory(&query));
        let client = query.client.clone();
        let dim = CubeDim::new_1d(tiles.scored.units() as u32);
        let addresses = address_type(&[&query, &key, &value, &mask, &attended, &gradient]);
        let changes = Changes {
            positioned: false,
            causal: self.causal,
            masked: self.masked,
        };
        let dtypes = [query.dtype.into(), mask.dtype.into()];
        query_gradient::launch(
            &client,
            cube_count([queries.div_ceil(tiles.scored.queries()), heads, batch]),
            dim,
            addresses,
            size,
            query.clone().into_tensor_arg(),
            key.clone().into_tensor_arg(),
            value.clone().into_tensor_arg(),
            mask.clone().into_tensor_arg(),
            attended.into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            along.clone().into_tensor_arg(),
            of_queries.clone().into_tensor_arg(),
            self.scale as f32,
            tiles,
            changes,
            dtypes,
        );
        key_gradients::launch(
            &client,
            cube_count([keys.div_ceil(tiles.scored.queries()), kv_heads, batch]),
            dim,
            addresses,
            size,
            query.into_tensor_arg(),
            key.into_tensor_arg(),
            value.into_tensor_arg(),
            mask.into_tensor_arg(),
            gradient.into_tensor_arg(),
            statistics.into_tensor_arg(),
            along.into_tensor_arg(),
            of_keys.clone().into_tensor_arg(),
            of_values.clone().into_tensor_arg(),
            self.scale as f32,
            tiles,
            changes,
            dtypes,
        );
        vec![of_queries, of_keys, of_values]
    }
}
