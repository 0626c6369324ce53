//! Products of rows and several weights, with a norm before them, in one launch.

mod apart;
mod epilogue;
mod few;
mod form;
mod operands;
mod tiles;
mod together;

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use self::operands::Operands;
use super::launching::{buffer, type_of};
use super::operation::{KernelOperation, TensorType};

pub(crate) use form::{Activation, Form, PARTS, Part};

/// Products of rows that are normalised and given their positions first.
///
/// Inputs are the rows `x`, `[n * group, d]`, the scale and the shift of their layer norm, `[d]`,
/// if there is one, their positions, `[m, d]`, which repeat every `m` rows, if there are any, the
/// weights, `[d, outputs]` each, of one type, their biases, if there are any, and the summand,
/// `[k, outputs]`, which repeats every `k` rows, if there is one; all but the weights in the type
/// of `x`. Outputs are the normalised rows, if they are kept, and the products, `[n, outputs]`.
///
/// Values and sums are f32 in the kernel. Normalised rows, activated ones, and those with positions
/// are rounded, as if they had been in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowProducts {
    pub(crate) form: Form,
    /// Addend of the variance.
    pub(crate) epsilon: f64,
    /// Limit of the bindings of a launch, besides the device's own.
    pub(crate) bindings: u32,
}

impl RowProducts {
    /// Returns whether the kernels suit `rows` rows or groups of a width.
    pub(crate) fn suits(&self, rows: usize, width: usize) -> bool {
        together::suits(&self.form, rows, width)
    }
}

impl KernelOperation for RowProducts {
    fn name(&self) -> &'static str {
        "anyref.row_products"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let form = &self.form;
        let [rows, _] = inputs[0].dims();
        let kept = form.kept.then(|| inputs[0].clone());
        let output = |part: usize| {
            let shape = [rows / form.group, form.output_width(part)];
            TensorType::new(shape, inputs[0].dtype)
        };
        let outputs = (0..form.outputs()).map(output);
        kept.into_iter().chain(outputs).collect()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let operands = Operands::new(&self.form, inputs);
        let outputs = self.output_types(&types).into_iter();
        let outputs = outputs.map(|output| buffer(&operands.x, output.shape, output.dtype));
        let mut outputs: Vec<_> = outputs.collect();
        let bindings = operands.x.client.properties().hardware.max_bindings;
        match self.form.bindings() <= bindings.min(self.bindings) as usize {
            true => together::write(self.form, self.epsilon, operands, &outputs),
            false => apart::write(self.form, self.epsilon, operands, &mut outputs),
        }
        outputs
    }
}
