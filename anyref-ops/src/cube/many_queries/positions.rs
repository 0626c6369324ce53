//! Products of queries with the tables of relative positions, in one launch.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::tile::{EACH, KEYS, LANES, MINE, Tile, VECTOR, add_products, load};
use crate::cube::launching::{
    address_type, along_last, buffer, cube_count, shared_memory, type_of, view_vector_size,
};
use crate::cube::operation::{KernelOperation, TensorType, exactly};

/// Decomposed relative positions of queries on a grid to keys on the same grid.
///
/// Inputs are queries, `[batch, heads, height · width, d]`, in any order, and tables for rows,
/// `[2 · height - 1, d]`, and columns, `[2 · width - 1, d]`, of one type, which is that of the
/// outputs, `[batch, heads, height · width, height]` and `[batch, heads, height · width, width]`.
/// Sums are f32. All queries meet all vectors of the tables, about twice those that they need:
/// `4 · (height + width) · d` floating-point operations a query, without a copy of the queries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PositionProducts {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl KernelOperation for PositionProducts {
    fn name(&self) -> &'static str {
        "anyref.position_products"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let [batch, heads, queries, _] = inputs[0].dims();
        let of = |length| TensorType::new([batch, heads, queries, length], inputs[0].dtype);
        [self.height, self.width].map(of).into()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let [by_row, by_column] = exactly(self.output_types(&types));
        let [query, rows, columns] = exactly::<_, 3>(inputs).map(along_last);
        let [batch, heads, queries, width] = types[0].dims();
        let by_row = buffer(&query, by_row.shape, by_row.dtype);
        let by_column = buffer(&query, by_column.shape, by_column.dtype);
        let size = view_vector_size(&[&query, &rows, &columns], VECTOR);
        let tile = Tile::new([width, size], size, shared_memory(&query));
        let client = query.client.clone();
        let dtype = query.dtype.into();
        position_products::launch(
            &client,
            cube_count([queries.div_ceil(tile.queries()), heads, batch]),
            CubeDim::new_1d(tile.units() as u32),
            address_type(&[&query, &rows, &columns, &by_row, &by_column]),
            size,
            query.into_tensor_arg(),
            rows.into_tensor_arg(),
            columns.into_tensor_arg(),
            by_row.clone().into_tensor_arg(),
            by_column.clone().into_tensor_arg(),
            tile,
            dtype,
        );
        vec![by_row, by_column]
    }
}

/// Products of a tile of queries of a head, a cube each: tiles, heads and batch are the axes.
#[cube(launch, address_type = "dynamic")]
fn position_products<F: Float, N: Size>(
    query: &Tensor<Vector<F, N>>,
    rows: &Tensor<Vector<F, N>>,
    columns: &Tensor<Vector<F, N>>,
    by_row: &mut Tensor<F>,
    by_column: &mut Tensor<F>,
    #[comptime] tile: Tile,
    #[define(F)] _dtype: StorageType,
) {
    let size = query.vector_size();
    let mut states = SharedMemory::<Vector<f32, N>>::new(comptime!(tile.state_vectors()));
    let mut held = SharedMemory::<Vector<f32, N>>::new(comptime!(tile.row_vectors()));
    let (head, batch) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let first_query = CUBE_POS_X as usize * comptime!(tile.queries());
    load::<F, N>(
        query,
        &mut states,
        (batch * query.stride(0) + head * query.stride(1)) / size,
        query.stride(2) / size,
        first_query,
        query.shape(2) - 1,
        0,
        1.0,
        comptime!(tile.load_states()),
    );
    let across = by_column.shape(3);
    products_with::<F, N>(rows, by_row, &states, &mut held, across, true, tile);
    products_with::<F, N>(columns, by_column, &states, &mut held, across, false, tile);
}

/// Products with one table, for queries on a grid of `across` columns.
#[cube]
fn products_with<F: Float, N: Size>(
    table: &Tensor<Vector<F, N>>,
    output: &mut Tensor<F>,
    states: &SharedMemory<Vector<f32, N>>,
    held: &mut SharedMemory<Vector<f32, N>>,
    across: usize,
    #[comptime] of_rows: bool,
    #[comptime] tile: Tile,
) {
    let size = table.vector_size();
    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / LANES, unit % LANES);
    let (head, batch) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let (heads, queries, length) = (output.shape(1), output.shape(2), output.shape(3));
    let mine = CUBE_POS_X as usize * comptime!(tile.queries()) + group * MINE;
    let count = table.shape(0);
    let mut first = 0usize;
    while first < count {
        let mut products = Array::<f32>::new(comptime!(EACH * MINE));
        #[unroll]
        for index in 0..comptime!(EACH * MINE) {
            products[index] = f32::new(0.0);
        }
        #[unroll]
        for part in 0..comptime!(tile.parts()) {
            // Rows are read before the next ones are written.
            sync_cube();
            let offset = comptime!(part * tile.step());
            load::<F, N>(
                table,
                held,
                0,
                table.stride(0) / size,
                first,
                count - 1,
                offset,
                1.0,
                comptime!(tile.load_keys()),
            );
            sync_cube();
            let vectors = comptime!(tile.step_of(part));
            add_products::<N>(states, held, &mut products, offset, vectors, tile);
        }
        #[unroll]
        for index in 0..EACH {
            let entry = first + lane + comptime!(index * LANES);
            #[unroll]
            for query in 0..MINE {
                let row = mine + query;
                let mut position = row / across;
                if comptime!(!of_rows) {
                    position = row % across;
                }
                // Entry `position - key + length - 1` of the table belongs to key `key`.
                if row < queries && entry >= position && entry < position + length {
                    let key = position + length - 1 - entry;
                    let to = ((batch * heads + head) * queries + row) * length + key;
                    output[to] = F::cast_from(products[comptime!(index * MINE + query)]);
                }
            }
        }
        first += KEYS;
    }
}
