//! Products of a few rows and several weights, in one launch.

mod kernel;

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use self::kernel::{LANES, UNITS};
use super::launching::{address_type, buffer, cubes, type_of, vector_size};
use super::operation::{KernelOperation, TensorType, exactly};

/// Longest vector that a unit reads.
const VECTOR: usize = 8;

/// Products of one input and several weights.
///
/// Inputs are the rows `x`, `[n, inputs]`, the weights, `[inputs, outputs]` each, of one type, and,
/// if there are any, their biases, `[outputs]` each, in the type of `x`. Weights are read with the
/// inputs of an output in order, and copied if they are not so in memory. Sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gemv {
    /// Combination of the products.
    pub(crate) form: GemvForm,
    /// Whether the weights have biases.
    pub(crate) biased: bool,
    /// Whether negative outputs of one weight become 0.
    pub(crate) clipped: bool,
}

/// Combination of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GemvForm {
    /// Product with one weight.
    One,
    /// Products with three weights, each an output.
    Three,
    /// `silu(first) · second` of the products with two weights of equal shape.
    Gated,
}

impl GemvForm {
    /// Number of weights.
    fn weights(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Gated => 2,
        }
    }
}

impl Gemv {
    /// Maximum rows, for which each weight is read once.
    pub(crate) const ROWS: usize = 8;
}

impl KernelOperation for Gemv {
    fn name(&self) -> &'static str {
        "anyref.gemv"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let [rows, _] = inputs[0].dims();
        let weights = match self.form {
            GemvForm::One | GemvForm::Three => &inputs[1..=self.form.weights()],
            GemvForm::Gated => &inputs[1..2],
        };
        let output = |weight: &TensorType| {
            let [_, outputs] = weight.dims();
            TensorType::new([rows, outputs], inputs[0].dtype)
        };
        weights.iter().map(output).collect()
    }

    fn launch<R: CubeRuntime>(self, mut inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        // Weights are transposed here rather than by an operation before the kernel. Fusion joins
        // such an operation with one on a row, `[1, inputs]`, such as the activation before, and
        // the joint kernel of burn 0.21 leaves most of the row out if there are fewer outputs than
        // values in a vector: it is launched once for each vector (burn-cubecl-fusion 0.21.0,
        // `src/optim/elemwise/optimization.rs`, line 101) but counts its places in the vectors of
        // the transposed operand, which are single values (`src/engine/codegen/kernel.rs`, line
        // 160).
        for weight in &mut inputs[1..=self.form.weights()] {
            weight.meta.swap(0, 1);
        }
        let mut inputs: Vec<_> = inputs.into_iter().map(into_contiguous).collect();
        let x = inputs.remove(0);
        let outputs = self.output_types(&types).into_iter();
        let outputs = outputs.map(|output| buffer(&x, output.shape, output.dtype));
        let outputs: Vec<_> = outputs.collect();
        let [rows, columns] = types[0].dims();
        let counts = outputs.iter().map(|output| type_of(output).dims::<2>()[1]);
        let counts: Vec<usize> = counts.collect();
        let whole: usize = counts.iter().sum();
        if rows * whole == 0 {
            return outputs;
        }
        // Missing biases are not read.
        if !self.biased {
            inputs.extend(vec![x.clone(); inputs.len()]);
        }
        let read: Vec<_> = core::iter::once(&x).chain(&inputs).collect();
        let size = vector_size(&read[..1 + inputs.len() / 2], VECTOR);
        let addresses = address_type(&read);
        let (client, dim) = (x.client.clone(), CubeDim::new_1d(UNITS as u32));
        let dtypes = [x.dtype.into(), inputs[0].dtype.into()];
        let at_once = rows.next_power_of_two();
        let count = cubes(whole.div_ceil(UNITS / LANES));
        match self.form {
            GemvForm::One => {
                let [weight, bias] = exactly(inputs);
                kernel::one::launch(
                    &client,
                    count,
                    dim,
                    addresses,
                    size,
                    x.into_tensor_arg(),
                    weight.into_tensor_arg(),
                    bias.into_array_arg(),
                    outputs[0].clone().into_array_arg(),
                    rows,
                    whole,
                    columns / size,
                    at_once,
                    self.biased,
                    self.clipped,
                    dtypes,
                );
            }
            GemvForm::Three => {
                let [first, second, third, bias, second_bias, third_bias] = exactly(inputs);
                kernel::three::launch(
                    &client,
                    count,
                    dim,
                    addresses,
                    size,
                    x.into_tensor_arg(),
                    first.into_tensor_arg(),
                    second.into_tensor_arg(),
                    third.into_tensor_arg(),
                    bias.into_array_arg(),
                    second_bias.into_array_arg(),
                    third_bias.into_array_arg(),
                    outputs[0].clone().into_array_arg(),
                    outputs[1].clone().into_array_arg(),
                    outputs[2].clone().into_array_arg(),
                    rows,
                    counts[0],
                    counts[1],
                    counts[2],
                    columns / size,
                    at_once,
                    self.biased,
                    dtypes,
                );
            }
            GemvForm::Gated => {
                let [gate, up, gate_bias, up_bias] = exactly(inputs);
                kernel::gated::launch(
                    &client,
                    count,
                    dim,
                    addresses,
                    size,
                    x.into_tensor_arg(),
                    gate.into_tensor_arg(),
                    up.into_tensor_arg(),
                    gate_bias.into_array_arg(),
                    up_bias.into_array_arg(),
                    outputs[0].clone().into_array_arg(),
                    rows,
                    whole,
                    columns / size,
                    at_once,
                    self.biased,
                    dtypes,
                );
            }
        }
        outputs
    }
}
