//! Rotary positions of queries and keys, and keys and values written to a cache, in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

use super::launching::{address_type, buffer, type_of};
use super::operation::{KernelOperation, TensorType, exactly};
use super::rotary::{Turn, write_pair};

/// Units of a cube.
const UNITS: u32 = 128;
/// Bindings of [`append_each`]: its tensors, and one for their sizes. Some devices of browsers have
/// fewer.
const BINDINGS: u32 = 9;

/// Rotation as in [`Rotary`](super::rotary::Rotary), with the rotated keys and the values written
/// to a cache.
///
/// Inputs are queries, `[batch, heads, length, head_dim]`, keys and values, `[batch, kv_heads,
/// length, head_dim]`, cosines and sines, `[batch or 1, 1, length, head_dim / 2]`, all of one type,
/// and cached keys and values, `[batch, kv_heads, capacity, head_dim]`, of a type of their own.
/// Outputs are the rotated queries, contiguous, and both caches, in place where nothing else holds
/// them. Devices that bind few tensors at once take three launches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RotaryAppend {
    /// Position in the cache of the first of the keys.
    pub(crate) first: usize,
    /// Limit of the bindings of a launch, besides the device's own.
    pub(crate) bindings: u32,
}

impl RotaryAppend {
    /// Writes from position `first` on, within the device's limit.
    pub(crate) fn new(first: usize) -> Self {
        Self {
            first,
            bindings: u32::MAX,
        }
    }
}

/// The tensor, or a copy of it where it must not be written.
fn writable<R: CubeRuntime>(tensor: CubeTensor<R>) -> CubeTensor<R> {
    let by_rows = tensor.meta.strides().last() == Some(&1);
    match tensor.can_mut() && tensor.is_nonoverlapping() && by_rows {
        true => tensor,
        false => into_contiguous(tensor.copy()),
    }
}

impl KernelOperation for RotaryAppend {
    fn name(&self) -> &'static str {
        "anyref.rotary_append"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        [0, 5, 6].map(|index: usize| inputs[index].clone()).into()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [query, key, value, cos, sin, keys, values] = exactly(inputs);
        let (cos, sin) = (into_contiguous(cos), into_contiguous(sin));
        let (keys, values) = (writable(keys), writable(values));
        let pairs = |x: &CubeTensor<R>| x.meta.shape().num_elements() / 2;
        let (query_units, key_units) = (pairs(&query), pairs(&key));
        let new_query = buffer(&query, type_of(&query).shape, query.dtype);
        if query_units + key_units == 0 {
            return vec![new_query, keys, values];
        }
        let (client, dim) = (query.client.clone(), CubeDim::new_1d(UNITS));
        let count = |units| calculate_cube_count_elemwise(&client, units, dim);
        let address = address_type(&[&query, &key, &value, &cos, &keys, &values]);
        let dtypes = [query.dtype.into(), keys.dtype.into()];
        let written = [&new_query, &keys, &values].map(|x| x.clone());
        let bindings = client.properties().hardware.max_bindings.min(self.bindings);
        if bindings >= BINDINGS {
            let [new_query, keys, values] = written.map(CubeTensor::into_tensor_arg);
            append_each::launch(
                &client,
                count(query_units + 2 * key_units),
                dim,
                address,
                query.into_tensor_arg(),
                key.into_tensor_arg(),
                value.into_tensor_arg(),
                cos.into_tensor_arg(),
                sin.into_tensor_arg(),
                new_query,
                keys,
                values,
                self.first,
                query_units,
                key_units,
                dtypes,
            );
        } else {
            let [queried, key_type] = dtypes;
            let parts = [
                (query, query_units, 0, Turn::Forth, queried),
                (key, key_units, self.first, Turn::Forth, key_type),
                (value, key_units, self.first, Turn::None, key_type),
            ];
            for ((x, units, first, turn, to), written) in parts.into_iter().zip(written) {
                append_one::launch(
                    &client,
                    count(units),
                    dim,
                    address,
                    x.into_tensor_arg(),
                    cos.clone().into_tensor_arg(),
                    sin.clone().into_tensor_arg(),
                    written.into_tensor_arg(),
                    first,
                    units,
                    turn,
                    [queried, to],
                );
            }
        }
        vec![new_query, keys, values]
    }
}

/// Writes a tensor, rotated or as it is, from a position on, one unit a pair of components.
#[cube(launch, address_type = "dynamic")]
fn append_one<F: Float, K: Float>(
    x: &Tensor<F>,
    cos: &Tensor<F>,
    sin: &Tensor<F>,
    output: &mut Tensor<K>,
    first: usize,
    units: usize,
    #[comptime] turn: Turn,
    #[define(F, K)] _dtypes: [StorageType; 2],
) {
    if ABSOLUTE_POS < units {
        write_pair::<F, K>(x, cos, sin, output, first, ABSOLUTE_POS, turn);
    }
}

/// Rotates queries and keys and writes keys and values to the cache, one unit a pair of components.
#[cube(launch, address_type = "dynamic")]
fn append_each<F: Float, K: Float>(
    query: &Tensor<F>,
    key: &Tensor<F>,
    value: &Tensor<F>,
    cos: &Tensor<F>,
    sin: &Tensor<F>,
    new_query: &mut Tensor<F>,
    keys: &mut Tensor<K>,
    values: &mut Tensor<K>,
    first: usize,
    query_units: usize,
    key_units: usize,
    #[define(F, K)] _dtypes: [StorageType; 2],
) {
    if ABSOLUTE_POS < query_units {
        write_pair::<F, F>(query, cos, sin, new_query, 0, ABSOLUTE_POS, Turn::Forth);
    } else if ABSOLUTE_POS < query_units + key_units {
        let index = ABSOLUTE_POS - query_units;
        write_pair::<F, K>(key, cos, sin, keys, first, index, Turn::Forth);
    } else if ABSOLUTE_POS < query_units + 2 * key_units {
        let index = ABSOLUTE_POS - query_units - key_units;
        write_pair::<F, K>(value, cos, sin, values, first, index, Turn::None);
    }
}
