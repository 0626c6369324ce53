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
