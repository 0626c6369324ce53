//! Buffers, sizes and launches of the backward pass.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

use super::launch::{Attention, Problem, address_type, cubes, upload, vector_size};
use super::tile::Tile;
use super::{backward, backward_attention, table};
use crate::refocus::{Objects, RefocusGradients};

/// Implements
/// [`RefocusBackend::refocus_backward`](crate::refocus::RefocusBackend::refocus_backward).
pub(in crate::refocus) fn refocus_backward<R: CubeRuntime>(
    query: CubeTensor<R>,
    key: CubeTensor<R>,
    hidden: CubeTensor<R>,
    objects: Objects,
    gradient: CubeTensor<R>,
) -> RefocusGradients<CubeTensor<R>> {
    let mut problem = Problem::new(query, key, hidden, objects);
    let gradient = into_contiguous(gradient);
    problem.sizes[1] = problem.sizes[1].min(vector_size(&[&gradient]));
    let attention = problem.attention();
    let [batch, ..] = problem.hidden.meta.shape().dims::<3>();
    let pass = Pass {
        order: upload(&problem.query, &table::rows(&problem.objects, batch)),
        weights: problem.buffer([problem.count(), problem.stride], DType::F32),
        pulls: problem.buffer([problem.count(), problem.stride], DType::F32),
        problem,
        attention,
        gradient,
    };
    if pass.problem.objects.longest_span() > 0 {
        pass.spans();
    }
    let (query, totals) = pass.query();
    RefocusGradients {
        query,
        key: pass.key(totals),
        hidden: pass.hidden(),
    }
}

struct Pass<R: CubeRuntime> {
    problem: Problem<R>,
    attention: Attention<R>,
    gradient: CubeTensor<R>,
    /// Objects in the order of rows, see [`table::rows`].
    order: CubeTensor<R>,
    weights: CubeTensor<R>,
    pulls: CubeTensor<R>,
}

impl<R: CubeRuntime> Pass<R> {
    /// Fills `weights` and `pulls`.
    fn spans(&self) {
        let Problem {
            hidden,
            table,
            objects,
            stride,
            ..
        } = &self.problem;
        let [_, _, width] = hidden.meta.shape().dims();
        let tile = Tile::new(width / self.problem.sizes[1]);
        backward::span_dots::launch(
            &hidden.client,
            cubes([
                objects.longest_span().div_ceil(tile.units),
                self.problem.count(),
                1,
            ]),
            CubeDim::new_1d(tile.units as u32),
            address_type(&[hidden, &self.gradient]),
            self.problem.sizes[1],
            self.gradient.clone().into_tensor_arg(),
            hidden.clone().into_tensor_arg(),
            table.clone().into_array_arg(),
            self.pulls.clone().into_array_arg(),
            *stride,
            objects.hidden_offset(),
            objects.lambda() as f32,
            tile,
            hidden.dtype.into(),
        );
        backward::span_pulls::launch(
            &hidden.client,
            cubes([self.problem.count(), 1, 1]),
            CubeDim::new_1d(tile.units as u32),
            address_type(&[&self.pulls]),
            table.clone().into_array_arg(),
            self.attention.logs.clone().into_array_arg(),
            self.weights.clone().into_array_arg(),
            self.pulls.clone().into_array_arg(),
            *stride,
            tile,
        );
    }

    /// Computes the gradient of the queries, and the totals needed for that of the keys.
    fn query(&self) -> (CubeTensor<R>, CubeTensor<R>) {
        let Problem {
            query, key, table, ..
        } = &self.problem;
        let [count, heads, head_dim] = query.meta.shape().dims();
        let output = self.problem.buffer([count, heads, head_dim], query.dtype);
        let totals = self.problem.buffer([count, heads], DType::F32);
        if self.problem.objects.longest_span() == 0 {
            let zeros = burn_cubecl::ops::numeric::zeros_client(
                query.client.clone(),
                query.device.clone(),
                query.meta.shape().clone(),
                query.dtype,
            );
            return (zeros, totals);
        }
        let tile = self.problem.tile();
        backward_attention::query_gradients::launch(
            &query.client,
            cubes([heads, count, 1]),
            CubeDim::new_1d(tile.units as u32),
            address_type(&[query, key]),
            self.problem.sizes[0],
            query.clone().into_tensor_arg(),
            key.clone().into_tensor_arg(),
            table.clone().into_array_arg(),
            self.attention.tops.clone().into_array_arg(),
            self.attention.sums.clone().into_array_arg(),
            self.attention.logs.clone().into_array_arg(),
            self.pulls.clone().into_array_arg(),
            totals.clone().into_array_arg(),
            output.clone().into_tensor_arg(),
            self.problem.stride,
            self.problem.scale(),
            tile,
            self.strips(tile),
            [query.dtype.into(), key.dtype.into()],
        );
        (output, totals)
    }

    fn key(&self, totals: CubeTensor<R>) -> CubeTensor<R> {
        let Problem {
            query, key, table, ..
        } = &self.problem;
        let [batch, kv_heads, keys, head_dim] = key.meta.shape().dims();
        let output = self
            .problem
            .buffer([batch, kv_heads, keys, head_dim], key.dtype);
        let tile = self.problem.tile();
        backward_attention::key_gradients::launch(
            &key.client,
            cubes([keys.div_ceil(tile.teams()), kv_heads, batch]),
            CubeDim::new_1d(tile.units as u32),
            address_type(&[query, key, &output]),
            self.problem.sizes[0],
            query.clone().into_tensor_arg(),
            key.clone().into_tensor_arg(),
            table.clone().into_array_arg(),
            self.order.clone().into_array_arg(),
            self.attention.tops.clone().into_array_arg(),
            self.attention.sums.clone().into_array_arg(),
            self.attention.logs.clone().into_array_arg(),
            self.pulls.clone().into_array_arg(),
            totals.into_array_arg(),
            output.clone().into_tensor_arg(),
            self.problem.stride,
            self.problem.scale(),
            tile,
            self.strips(tile),
            [query.dtype.into(), key.dtype.into()],
        );
        output
    }

    fn hidden(&self) -> CubeTensor<R> {
        let Problem {
            hidden,
            table,
            objects,
            ..
        } = &self.problem;
        let shape: [usize; 3] = hidden.meta.shape().dims();
        let output = self.problem.buffer(shape, hidden.dtype);
        let vectors = shape.iter().product::<usize>() / self.problem.sizes[1];
        let cube_dim = CubeDim::new_1d(Tile::new(1).units as u32);
        backward::hidden_gradients::launch(
            &hidden.client,
            calculate_cube_count_elemwise(&hidden.client, vectors, cube_dim),
            cube_dim,
            address_type(&[&output, &self.gradient]),
            self.problem.sizes[1],
            self.gradient.clone().into_tensor_arg(),
            table.clone().into_array_arg(),
            self.order.clone().into_array_arg(),
            self.weights.clone().into_array_arg(),
            output.clone().into_tensor_arg(),
            self.problem.stride,
            objects.hidden_offset(),
            objects.lambda() as f32,
            hidden.dtype.into(),
        );
        output
    }

    /// Vectors of a query that a lane holds.
    fn strips(&self, tile: Tile) -> usize {
        let [_, _, head_dim] = self.problem.query.meta.shape().dims();
        (head_dim / self.problem.sizes[0]).div_ceil(tile.lanes)
    }
}
