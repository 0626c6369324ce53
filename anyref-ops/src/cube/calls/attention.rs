//! Attention as tensors.

use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Tensor};

use crate::cube::backend::floats;
use crate::cube::few_keys::FewKeys;
use crate::cube::few_queries::FewQueries;
use crate::cube::many_queries::{ManyQueries, PositionProducts};
use crate::cube::operation::exactly;
use crate::cube::registry::kernels;

/// Arguments of an attention.
#[derive(Debug, Clone)]
pub(crate) struct KernelAttention<'a, B: Backend> {
    /// `[batch, heads, queries, d]`
    pub(crate) query: &'a Tensor<B, 4>,
    /// `[batch, kv_heads, keys, d]`
    pub(crate) key: &'a Tensor<B, 4>,
    /// `[batch, kv_heads, keys, dv]`
    pub(crate) value: &'a Tensor<B, 4>,
    /// Each dimension is 1 or that of `[batch, heads, queries, keys]`.
    pub(crate) mask: Option<&'a Tensor<B, 4, Bool>>,
    /// Relative positions over a grid of keys, `[batch, heads, queries, rows]` and `[batch, heads,
    /// queries, columns]`.
    pub(crate) positions: Option<[&'a Tensor<B, 4>; 2]>,
    pub(crate) causal: bool,
    pub(crate) scale: f64,
}

/// Attention in one launch; `None` without kernels and for shapes that none takes. The output is in
/// memory as rows of tokens, `[batch, queries, heads, dv]`.
///
/// # Shapes
/// - output: `[batch, heads, queries, dv]`, in the type of the queries
pub(crate) fn attend<B: Backend>(input: KernelAttention<'_, B>) -> Option<Tensor<B, 4>> {
    let kernels = kernels::<B>()?;
    let KernelAttention {
        query,
        key,
        value,
        mask,
        positions,
        causal,
        scale,
    } = input;
    if key.dtype() != value.dtype() {
        return None;
    }
    let masked = mask.is_some();
    let tensors = [query, key, value].map(|x| x.clone().into());
    let mask = mask.map(|mask| mask.clone().into());
    let inputs = tensors.into_iter().chain(mask);
    let shapes = (query.dims(), value.dims());
    let plain = positions.is_none();
    let [output] = if plain && FewQueries::suits(shapes.0, shapes.1) {
        let attention = FewQueries {
            scale,
            causal,
            masked,
        };
        exactly((kernels.few_queries)(attention, inputs.collect()))
    } else if plain && !masked && !causal && FewKeys::suits(shapes.0, shapes.1) {
        exactly((kernels.few_keys)(FewKeys { scale }, inputs.collect()))
    } else {
        let grid = positions.map(|positions| positions.map(|x| x.dims()[3]));
        if !ManyQueries::suits(shapes.0, shapes.1, grid) {
            return None;
        }
        let attention = ManyQueries {
            scale,
            causal,
            masked,
            positioned: positions.is_some(),
            keeping: false,
        };
        let dtype = query.dtype();
        let positions = positions.into_iter().flatten();
        let positions = positions.map(|x| x.clone().cast(dtype).into());
        let inputs = inputs.chain(positions).collect();
        exactly((kernels.many_queries)(attention, inputs))
    };
    Some(floats::<B, 4>(output))
}

/// Products of queries on a grid with the tables of relative positions to the rows and columns of
/// the same grid; `None` without kernels and for other shapes.
///
/// # Shapes
/// - query: `[batch, heads, queries, d]`, with `height · width` queries
/// - tables: `[2 · height - 1, d]` and `[2 · width - 1, d]`
/// - outputs: `[batch, heads, queries, height]` and `[batch, heads, queries, width]`
pub(crate) fn position_products<B: Backend>(
    query: &Tensor<B, 4>,
    tables: [&Tensor<B, 2>; 2],
    [height, width]: [usize; 2],
) -> Option<[Tensor<B, 4>; 2]> {
    let kernels = kernels::<B>()?;
    let grid = Some([height, width]);
    // Keys lie on the grid of the queries.
    if !ManyQueries::suits(query.dims(), query.dims(), grid) {
        return None;
    }
    let dtype = query.dtype();
    let tables = tables
        .into_iter()
        .map(|table| table.clone().cast(dtype).into());
    let inputs = core::iter::once(query.clone().into()).chain(tables);
    let products = PositionProducts { height, width };
    let outputs = (kernels.position_products)(products, inputs.collect());
    Some(exactly::<_, 2>(outputs).map(floats::<B, 4>))
}
