//! Rotary positions of queries and keys, in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

use super::launching::{address_type, buffer, token_rows, type_of};
use super::operation::{KernelOperation, TensorType, exactly};

/// Units of a cube.
const UNITS: u32 = 128;

/// Rotation of component `i` of every head together with component `i + head_dim / 2`.
///
/// Inputs are queries, `[batch, heads, length, head_dim]`, keys, `[batch, kv_heads, length,
/// head_dim]`, and cosines and sines, `[batch or 1, 1, length, head_dim / 2]`, all of one type.
/// Queries and keys may be views in any order. Outputs are both, contiguous.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotary;

impl KernelOperation for Rotary {
    fn name(&self) -> &'static str {
        "anyref.rotary"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        inputs[..2].to_vec()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [query, key, cos, sin] = exactly(inputs);
        let (cos, sin) = (into_contiguous(cos), into_contiguous(sin));
        let [query_units, key_units] = [&query, &key].map(|x| x.meta.shape().num_elements() / 2);
        let [new_query, new_key] = [&query, &key].map(|x| buffer(x, type_of(x).shape, x.dtype));
        if query_units + key_units == 0 {
            return vec![new_query, new_key];
        }
        let (client, dim) = (query.client.clone(), CubeDim::new_1d(UNITS));
        let dtype = query.dtype.into();
        rotate_each::launch(
            &client,
            calculate_cube_count_elemwise(&client, query_units + key_units, dim),
            dim,
            address_type(&[&query, &key, &cos]),
            query.into_tensor_arg(),
            key.into_tensor_arg(),
            cos.into_tensor_arg(),
            sin.into_tensor_arg(),
            new_query.clone().into_tensor_arg(),
            new_key.clone().into_tensor_arg(),
            query_units,
            key_units,
            dtype,
        );
        vec![new_query, new_key]
    }
}

/// Direction of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Turn {
    /// Rotation by the angles.
    Forth,
    /// Inverse rotation.
    Back,
    /// No rotation.
    None,
}

/// Writes a pair of components of a position, rotated or as it is, to a place of its own or, in
/// tensors with more positions, from `first` on.
#[cube]
pub(super) fn write_pair<F: Float, K: Float>(
    x: &Tensor<F>,
    cos: &Tensor<F>,
    sin: &Tensor<F>,
    output: &mut Tensor<K>,
    first: usize,
    index: usize,
    #[comptime] turn: Turn,
) {
    let (heads, length, width) = (x.shape(1), x.shape(2), x.shape(3));
    let half = width / 2;
    let component = index % half;
    let row = index / half;
    let position = row % length;
    let head = row / length % heads;
    let batch = row / length / heads;
    let from = batch * x.stride(0) + head * x.stride(1) + position * x.stride(2);
    let one = f32::cast_from(x[from + component * x.stride(3)]);
    let other = f32::cast_from(x[from + (component + half) * x.stride(3)]);
    let to = batch * output.stride(0)
        + head * output.stride(1)
        + (first + position) * output.stride(2)
        + component;
    if comptime!(turn != Turn::None) {
        // One rotation may serve all rows of the batch.
        let angle = (min(batch, cos.shape(0) - 1) * length + position) * half + component;
        let c = f32::cast_from(cos[angle]);
        let mut s = f32::cast_from(sin[angle]);
        if comptime!(turn == Turn::Back) {
            s = -s;
        }
        output[to] = K::cast_from(one * c - other * s);
        output[to + half] = K::cast_from(other * c + one * s);
    } else {
        output[to] = K::cast_from(one);
        output[to + half] = K::cast_from(other);
    }
}

/// Rotates queries and keys, one unit a pair of components.
#[cube(launch, address_type = "dynamic")]
fn rotate_each<F: Float>(
    query: &Tensor<F>,
    key: &Tensor<F>,
    cos: &Tensor<F>,
    sin: &Tensor<F>,
    new_query: &mut Tensor<F>,
    new_key: &mut Tensor<F>,
    query_units: usize,
    key_units: usize,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < query_units {
        write_pair::<F, F>(query, cos, sin, new_query, 0, ABSOLUTE_POS, Turn::Forth);
    } else if ABSOLUTE_POS < query_units + key_units {
        let index = ABSOLUTE_POS - query_units;
        write_pair::<F, F>(key, cos, sin, new_key, 0, index, Turn::Forth);
    }
}

/// Gradient of one of the tensors that [`Rotary`] rotates.
///
/// Inputs are the gradient of the rotated tensor, `[batch, heads, length, head_dim]`, in any order,
/// and the cosines and sines of the rotation, all of one type. The output has the shape of the
/// first and lies in memory as rows of tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RotaryGradient;

impl KernelOperation for RotaryGradient {
    fn name(&self) -> &'static str {
        "anyref.rotary_gradient"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        inputs[..1].to_vec()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [gradient, cos, sin] = exactly(inputs);
        let (cos, sin) = (into_contiguous(cos), into_contiguous(sin));
        let units = gradient.meta.shape().num_elements() / 2;
        let output = token_rows(&gradient, type_of(&gradient).dims());
        if units == 0 {
            return vec![output];
        }
        let (client, dim) = (gradient.client.clone(), CubeDim::new_1d(UNITS));
        let dtype = gradient.dtype.into();
        rotate_back::launch(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            address_type(&[&gradient, &cos]),
            gradient.into_tensor_arg(),
            cos.into_tensor_arg(),
            sin.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            units,
            dtype,
        );
        vec![output]
    }
}

/// Rotates a tensor back, one unit a pair of components.
#[cube(launch, address_type = "dynamic")]
fn rotate_back<F: Float>(
    x: &Tensor<F>,
    cos: &Tensor<F>,
    sin: &Tensor<F>,
    output: &mut Tensor<F>,
    units: usize,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < units {
        write_pair::<F, F>(x, cos, sin, output, 0, ABSOLUTE_POS, Turn::Back);
    }
}
