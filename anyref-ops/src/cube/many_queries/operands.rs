//! Tensors of an attention of many queries, and launches of its kernels.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::ir::features::MmaConfig;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

use super::kernel::{Changes, attend, attend_keeping};
use super::matrix_tile::{self, MatrixTile, PLANE, SIDE};
use super::tensor_cores::{attend_by_matrices, attend_by_matrices_keeping};
use super::tile::{Tile, VECTOR};
use crate::cube::launching::{
    address_type, along_last, buffer, cube_count, shared_memory, token_rows, type_of,
    view_vector_size,
};

/// Scale, changes of the scores, and outputs of an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Factor of the scores.
    pub(super) scale: f32,
    pub(super) changes: Changes,
    /// Whether statistics are kept.
    pub(super) keeping: bool,
}

/// Options of an attention and its inputs, in an order that kernels read.
#[derive(Debug, Clone)]
pub(super) struct Operands<R: CubeRuntime> {
    pub(super) options: Options,
    pub(super) query: CubeTensor<R>,
    pub(super) key: CubeTensor<R>,
    value: CubeTensor<R>,
    mask: CubeTensor<R>,
    height: CubeTensor<R>,
    width: CubeTensor<R>,
}

impl<R: CubeRuntime> Operands<R> {
    pub(super) fn new(options: Options, inputs: Vec<CubeTensor<R>>) -> Self {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many tensors as there should be");
        let [query, key, value] = [next(), next(), next()].map(along_last);
        // What is missing is not read.
        let mask = match options.changes.masked {
            true => into_contiguous(next()),
            false => query.clone(),
        };
        let [height, width] = match options.changes.positioned {
            true => [next(), next()],
            false => [query.clone(), query.clone()],
        };
        Self {
            options,
            query,
            key,
            value,
            mask,
            height,
            width,
        }
    }

    /// Buffers for the output, and for statistics if they are kept.
    fn outputs(&self) -> (CubeTensor<R>, Option<CubeTensor<R>>) {
        let [batch, heads, queries, _] = type_of(&self.query).dims();
        let [_, value_width] = self.widths();
        let output = token_rows(&self.query, [batch, heads, queries, value_width]);
        let shape = Shape::new([batch, heads, queries, 2]);
        let keeping = self.options.keeping;
        (
            output,
            keeping.then(|| buffer(&self.query, shape, DType::F32)),
        )
    }

    /// Widths of queries and of values.
    pub(super) fn widths(&self) -> [usize; 2] {
        [&self.query, &self.value].map(|x| x.meta.shape()[3])
    }

    /// Longest vectors, up to `most`, in which all tensors are read.
    fn vector_size(&self, most: usize) -> usize {
        view_vector_size(&[&self.query, &self.key, &self.value], most)
    }

    /// Cubes of so many queries each.
    fn cubes(&self, queries: usize) -> CubeCount {
        let shape = self.query.meta.shape();
        cube_count([shape[2].div_ceil(queries), shape[1], shape[0]])
    }

    fn addresses(&self, output: &CubeTensor<R>) -> AddressType {
        let [query, key, value] = [&self.query, &self.key, &self.value];
        let [mask, height, width] = [&self.mask, &self.height, &self.width];
        address_type(&[query, key, value, mask, height, width, output])
    }

    /// The tile for tensor cores, where a device has them for these operands.
    pub(super) fn matrix_tile(&self) -> Option<MatrixTile> {
        let dtype = self.query.dtype;
        let client = &self.query.client;
        let hardware = &client.properties().hardware;
        let half: StorageType = dtype.into();
        let matrices = MmaConfig {
            a_type: half,
            b_type: half,
            cd_type: ElemType::Float(FloatKind::F32).into(),
            m: SIDE as u32,
            n: SIDE as u32,
            k: SIDE as u32,
        };
        // Vulkan does not say how planes lie in a cube.
        let suits = R::name(client) == "cuda"
            && self.key.dtype == dtype
            && matches!(dtype, DType::F16 | DType::BF16)
            && client.properties().features.matmul.cmma.contains(&matrices)
            && hardware.plane_size_min as usize == PLANE
            && hardware.plane_size_max as usize == PLANE;
        let size = self.vector_size(matrix_tile::VECTOR);
        let tile = || MatrixTile::new(self.widths(), size, shared_memory(&self.query));
        suits.then(tile).flatten()
    }

    /// Multiplies by tensor cores.
    pub(super) fn launch_matrices(self, tile: MatrixTile) -> Vec<CubeTensor<R>> {
        let client = self.query.client.clone();
        let dtypes = [self.query.dtype.into(), self.mask.dtype.into()];
        let count = self.cubes(MatrixTile::queries());
        let dim = CubeDim::new_1d(MatrixTile::units() as u32);
        let (output, statistics) = self.outputs();
        let addresses = self.addresses(&output);
        let Options { scale, changes, .. } = self.options;
        match statistics.clone() {
            Some(statistics) => attend_by_matrices_keeping::launch(
                &client,
                count,
                dim,
                addresses,
                tile.size(),
                self.query.into_tensor_arg(),
                self.key.into_tensor_arg(),
                self.value.into_tensor_arg(),
                self.mask.into_tensor_arg(),
                self.height.into_tensor_arg(),
                self.width.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                statistics.into_tensor_arg(),
                scale,
                tile,
                changes,
                dtypes,
            ),
            None => attend_by_matrices::launch(
                &client,
                count,
                dim,
                addresses,
                tile.size(),
                self.query.into_tensor_arg(),
                self.key.into_tensor_arg(),
                self.value.into_tensor_arg(),
                self.mask.into_tensor_arg(),
                self.height.into_tensor_arg(),
                self.width.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                scale,
                tile,
                changes,
                dtypes,
            ),
        }
        core::iter::once(output).chain(statistics).collect()
    }

    /// Multiplies by the units themselves, in f32.
    pub(super) fn launch_units(self) -> Vec<CubeTensor<R>> {
        let size = self.vector_size(VECTOR);
        let tile = Tile::new(self.widths(), size, shared_memory(&self.query));
        let client = self.query.client.clone();
        let dtypes = [self.query.dtype, self.key.dtype, self.mask.dtype].map(Into::into);
        let count = self.cubes(tile.queries());
        let dim = CubeDim::new_1d(tile.units() as u32);
        let (output, statistics) = self.outputs();
        let addresses = self.addresses(&output);
        let Options { scale, changes, .. } = self.options;
        match statistics.clone() {
            Some(statistics) => attend_keeping::launch(
                &client,
                count,
                dim,
                addresses,
                size,
                self.query.into_tensor_arg(),
                self.key.into_tensor_arg(),
                self.value.into_tensor_arg(),
                self.mask.into_tensor_arg(),
                self.height.into_tensor_arg(),
                self.width.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                statistics.into_tensor_arg(),
                scale,
                tile,
                changes,
                dtypes,
            ),
            None => attend::launch(
                &client,
                count,
                dim,
                addresses,
                size,
                self.query.into_tensor_arg(),
                self.key.into_tensor_arg(),
                self.value.into_tensor_arg(),
                self.mask.into_tensor_arg(),
                self.height.into_tensor_arg(),
                self.width.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                scale,
                tile,
                changes,
                dtypes,
            ),
        }
        core::iter::once(output).chain(statistics).collect()
    }
}
