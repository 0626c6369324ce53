//! Buffers, sizes and launches of the forward pass.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
#[cfg(not(test))]
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype as uninitialised;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;
use cubecl::tensor_vector_size_parallel;

#[cfg(test)]
use super::tests::poisoned as uninitialised;
use super::tile::Tile;
use super::{forward, table};
use crate::refocus::Objects;

/// Number of cubes that keeps a large GPU busy; with fewer objects and heads, contexts are divided.
const CUBES: usize = 4096;
/// Heads of a position that a cube processes together; more heads give more cubes.
const ABREAST: [usize; 2] = [16, 32];

/// Data of a problem that both passes use.
pub(super) struct Problem<R: CubeRuntime> {
    pub(super) query: CubeTensor<R>,
    pub(super) key: CubeTensor<R>,
    pub(super) hidden: CubeTensor<R>,
    /// Table of the objects, see [`table::objects`].
    pub(super) table: CubeTensor<R>,
    pub(super) objects: Objects,
    /// Stride between objects in buffers with one number for each position of the span.
    pub(super) stride: usize,
    /// Vector sizes of queries and keys, and of hidden states.
    pub(super) sizes: [usize; 2],
}

/// Largest score of each head and logarithm of the sum of exponentials relative to it,
/// `[n, heads]`, and logarithms of the spans, `[n, stride]`.
pub(super) struct Attention<R: CubeRuntime> {
    pub(super) tops: CubeTensor<R>,
    pub(super) sums: CubeTensor<R>,
    pub(super) logs: CubeTensor<R>,
}

/// Implements [`RefocusBackend::refocus`](crate::refocus::RefocusBackend::refocus).
pub(in crate::refocus) fn refocus<R: CubeRuntime>(
    query: CubeTensor<R>,
    key: CubeTensor<R>,
    hidden: CubeTensor<R>,
    objects: Objects,
) -> CubeTensor<R> {
    let problem = Problem::new(query, key, hidden, objects);
    let attention = problem.attention();
    let [_, _, width] = problem.hidden.meta.shape().dims();
    let output = problem.buffer([problem.count(), width], problem.hidden.dtype);

    let vectors = width / problem.sizes[1];
    let tile = Tile::new(vectors).spread(problem.count(), CUBES / 8);
    forward::add_spans::launch(
        &problem.query.client,
        cubes([vectors.div_ceil(tile.lanes), problem.count(), 1]),
        CubeDim::new_1d(tile.units as u32),
        address_type(&[&problem.hidden, &output]),
        problem.sizes[1],
        problem.hidden.clone().into_tensor_arg(),
        problem.table.clone().into_array_arg(),
        attention.logs.into_array_arg(),
        output.clone().into_tensor_arg(),
        problem.stride,
        problem.objects.hidden_offset(),
        problem.objects.lambda() as f32,
        tile,
        output.dtype.into(),
    );
    output
}

impl<R: CubeRuntime> Problem<R> {
    pub(super) fn new(
        query: CubeTensor<R>,
        key: CubeTensor<R>,
        hidden: CubeTensor<R>,
        objects: Objects,
    ) -> Self {
        query.assert_is_on_same_device(&key);
        query.assert_is_on_same_device(&hidden);
        let query = into_contiguous(query);
        let [key, hidden] = [key, hidden].map(with_plain_rows);
        let table = upload(&query, &table::objects(&objects));
        Self {
            sizes: [vector_size(&[&query, &key]), vector_size(&[&hidden])],
            stride: objects.longest_span().max(1),
            query,
            key,
            hidden,
            table,
            objects,
        }
    }

    /// Number of objects.
    pub(super) fn count(&self) -> usize {
        self.objects.tokens().len()
    }

    /// Factor of the scores.
    pub(super) fn scale(&self) -> f32 {
        let [_, _, head_dim] = self.query.meta.shape().dims();
        (head_dim as f32).sqrt().recip()
    }

    /// Division of cubes that read queries and keys.
    pub(super) fn tile(&self) -> Tile {
        let [_, _, head_dim] = self.query.meta.shape().dims();
        Tile::new(head_dim / self.sizes[0])
    }

    /// Allocates an uninitialised buffer on the device.
    pub(super) fn buffer<const D: usize>(&self, shape: [usize; D], dtype: DType) -> CubeTensor<R> {
        let (client, device) = (self.query.client.clone(), self.query.device.clone());
        uninitialised(client, device, Shape::new(shape), dtype)
    }

    /// Computes both softmaxes, in three launches.
    pub(super) fn attention(&self) -> Attention<R> {
        let [_, heads, _] = self.query.meta.shape().dims();
        let (tile, count) = (self.tile(), self.count());
        let context = self.objects.context_end();
        let chunks = (CUBES / (count * heads)).clamp(1, context.div_ceil(tile.units));
        let chunk = context.div_ceil(chunks).next_multiple_of(tile.units);
        let chunks = context.div_ceil(chunk);
        let attention = Attention {
            tops: self.buffer([count, heads], DType::F32),
            sums: self.buffer([count, heads], DType::F32),
            logs: self.buffer([count, self.stride], DType::F32),
        };
        let longest = self.objects.longest_span();
        if longest == 0 {
            return attention;
        }
        let dtypes = [self.query.dtype.into(), self.key.dtype.into()];
        let chunk_tops = self.buffer([count, heads, chunks], DType::F32);
        let chunk_sums = self.buffer([count, heads, chunks], DType::F32);
        forward::context_sums::launch(
            &self.query.client,
            cubes([chunks, heads, count]),
            CubeDim::new_1d(tile.units as u32),
            address_type(&[&self.query, &self.key]),
            self.sizes[0],
            self.query.clone().into_tensor_arg(),
            self.key.clone().into_tensor_arg(),
            self.table.clone().into_array_arg(),
            chunk_tops.clone().into_array_arg(),
            chunk_sums.clone().into_array_arg(),
            chunk,
            self.scale(),
            tile,
            dtypes,
        );
        let units = Tile::new(1).units;
        forward::head_sums::launch(
            &self.query.client,
            cubes([(count * heads).div_ceil(units), 1, 1]),
            CubeDim::new_1d(units as u32),
            address_type(&[&chunk_tops]),
            chunk_tops.into_array_arg(),
            chunk_sums.into_array_arg(),
            attention.tops.clone().into_array_arg(),
            attention.sums.clone().into_array_arg(),
            chunks,
        );
        let few = longest * count * ABREAST[0] < tile.units * CUBES / 8;
        let abreast = heads.next_power_of_two().min(ABREAST[usize::from(few)]);
        forward::span_logs::launch(
            &self.query.client,
            cubes([longest.div_ceil(tile.units / abreast), count, 1]),
            CubeDim::new_1d(tile.units as u32),
            address_type(&[&self.query, &self.key]),
            self.sizes[0],
            self.query.clone().into_tensor_arg(),
            self.key.clone().into_tensor_arg(),
            self.table.clone().into_array_arg(),
            attention.tops.clone().into_array_arg(),
            attention.sums.clone().into_array_arg(),
            attention.logs.clone().into_array_arg(),
            self.stride,
            self.scale(),
            tile,
            abreast,
            dtypes,
        );
        attention
    }
}

/// Makes the rows of the last axis contiguous; the other axes may have any strides, as permuted
/// keys do.
fn with_plain_rows<R: CubeRuntime>(tensor: CubeTensor<R>) -> CubeTensor<R> {
    match tensor.meta.strides().last() {
        Some(1) => tensor,
        _ => into_contiguous(tensor),
    }
}

/// Longest vectors in which all of the tensors can be read.
pub(super) fn vector_size<R: CubeRuntime>(tensors: &[&CubeTensor<R>]) -> usize {
    let sizes = tensors.iter().map(|tensor| {
        let axis = tensor.meta.num_dims() - 1;
        let sizes = tensor.client.io_optimized_vector_sizes(tensor.elem_size());
        tensor_vector_size_parallel(sizes, tensor.meta.shape(), tensor.meta.strides(), axis)
    });
    sizes.min().unwrap_or(1)
}

/// Uploads numbers for a kernel to the device of a tensor.
pub(super) fn upload<R: CubeRuntime>(like: &CubeTensor<R>, numbers: &[u32]) -> CubeTensor<R> {
    let (client, device) = (like.client.clone(), like.device.clone());
    let handle = client.create_from_slice(u32::as_bytes(numbers));
    CubeTensor::new_contiguous(
        client,
        device,
        Shape::new([numbers.len()]),
        handle,
        DType::U32,
    )
}

/// Integer type wide enough to address the tensors.
pub(super) fn address_type<R: CubeRuntime>(tensors: &[&CubeTensor<R>]) -> AddressType {
    let types = tensors.iter().map(|tensor| tensor.required_address_type());
    types.max().unwrap_or_default()
}

pub(super) fn cubes(count: [usize; 3]) -> CubeCount {
    let [x, y, z] = count.map(|count| count as u32);
    CubeCount::Static(x, y, z)
}
