//! `silu(gate) · up`, in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

use super::launching::{address_type, buffer, type_of, vector_size};
use super::operation::{KernelOperation, TensorType, exactly};

/// Units of a cube.
const UNITS: u32 = 128;
/// Longest vector that a unit reads.
const VECTOR: usize = 8;

/// Gated activation of LLaMA's MLP. Inputs are gate and up, of equal shape and type, and the output
/// has both. Values are f32 in the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SwiGlu;

impl KernelOperation for SwiGlu {
    fn name(&self) -> &'static str {
        "anyref.swiglu"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        inputs[..1].to_vec()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [gate, up] = exactly::<_, 2>(inputs).map(into_contiguous);
        let output = buffer(&gate, type_of(&gate).shape, gate.dtype);
        let size = vector_size(&[&gate], VECTOR);
        let vectors = gate.meta.shape().num_elements() / size;
        if vectors == 0 {
            return vec![output];
        }
        let (client, dim) = (gate.client.clone(), CubeDim::new_1d(UNITS));
        let dtype = gate.dtype.into();
        gated::launch(
            &client,
            calculate_cube_count_elemwise(&client, vectors, dim),
            dim,
            address_type(&[&gate]),
            size,
            gate.into_tensor_arg(),
            up.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            vectors,
            dtype,
        );
        vec![output]
    }
}

/// Computes a vector of values a unit.
#[cube(launch, address_type = "dynamic")]
fn gated<F: Float, N: Size>(
    gate: &Tensor<Vector<F, N>>,
    up: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    vectors: usize,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < vectors {
        let size = gate.vector_size();
        let gates = Vector::<f32, N>::cast_from(gate[ABSOLUTE_POS]);
        let ups = Vector::<f32, N>::cast_from(up[ABSOLUTE_POS]);
        let mut products = Vector::<f32, N>::zeroed();
        #[unroll]
        for i in 0..size {
            products[i] = gates[i] / (1.0 + (-gates[i]).exp()) * ups[i];
        }
        output[ABSOLUTE_POS] = Vector::cast_from(products);
    }
}

/// Gradients of [`SwiGlu`]. Inputs are gate, up and the gradient of the output, and outputs are
/// those of gate and up, all of one shape and type. Values are f32 in the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SwiGluGradient;

impl KernelOperation for SwiGluGradient {
    fn name(&self) -> &'static str {
        "anyref.swiglu_gradient"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        inputs[..2].to_vec()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [gate, up, gradient] = exactly::<_, 3>(inputs).map(into_contiguous);
        let output = || buffer(&gate, type_of(&gate).shape, gate.dtype);
        let (of_gate, of_up) = (output(), output());
        let size = vector_size(&[&gate], VECTOR);
        let vectors = gate.meta.shape().num_elements() / size;
        if vectors == 0 {
            return vec![of_gate, of_up];
        }
        let (client, dim) = (gate.client.clone(), CubeDim::new_1d(UNITS));
        let dtype = gate.dtype.into();
        gated_gradients::launch(
            &client,
            calculate_cube_count_elemwise(&client, vectors, dim),
            dim,
            address_type(&[&gate]),
            size,
            gate.into_tensor_arg(),
            up.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_gate.clone().into_tensor_arg(),
            of_up.clone().into_tensor_arg(),
            vectors,
            dtype,
        );
        vec![of_gate, of_up]
    }
}

/// Computes a vector of both gradients a unit.
#[cube(launch, address_type = "dynamic")]
fn gated_gradients<F: Float, N: Size>(
    gate: &Tensor<Vector<F, N>>,
    up: &Tensor<Vector<F, N>>,
    gradient: &Tensor<Vector<F, N>>,
    of_gate: &mut Tensor<Vector<F, N>>,
    of_up: &mut Tensor<Vector<F, N>>,
    vectors: usize,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < vectors {
        let size = gate.vector_size();
        let gates = Vector::<f32, N>::cast_from(gate[ABSOLUTE_POS]);
        let ups = Vector::<f32, N>::cast_from(up[ABSOLUTE_POS]);
        let pulls = Vector::<f32, N>::cast_from(gradient[ABSOLUTE_POS]);
        let mut gate_pulls = Vector::<f32, N>::zeroed();
        let mut up_pulls = Vector::<f32, N>::zeroed();
        #[unroll]
        for i in 0..size {
            let share = 1.0 / (1.0 + (-gates[i]).exp());
            let slope = share * (1.0 + gates[i] * (1.0 - share));
            gate_pulls[i] = pulls[i] * ups[i] * slope;
            up_pulls[i] = pulls[i] * gates[i] * share;
        }
        of_gate[ABSOLUTE_POS] = Vector::cast_from(gate_pulls);
        of_up[ABSOLUTE_POS] = Vector::cast_from(up_pulls);
    }
}
