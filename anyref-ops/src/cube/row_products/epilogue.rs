//! Outputs of products as they are written.

use cubecl::prelude::*;

use super::form::{Activation, Form};

/// Inverse of the square root of 2.
const INVERSE_ROOT: f32 = core::f32::consts::FRAC_1_SQRT_2;

/// Exact GELU.
#[cube]
pub(super) fn gelu<F: Float>(x: F) -> F {
    let normal = F::erf(x * F::new(INVERSE_ROOT));
    x * F::new(0.5) * (F::new(1.0) + normal)
}

/// Writes an output of a row: the sum of products with the bias and the summand, activated.
#[cube]
pub(super) fn write<F: Float>(
    biases: &Sequence<Array<F>>,
    added: &Sequence<Array<F>>,
    output: &mut Array<F>,
    sum: f32,
    row: usize,
    column: usize,
    added_rows: usize,
    #[comptime] part: usize,
    #[comptime] form: Form,
) {
    let width = comptime!(form.part(part).outputs);
    let mut value = sum;
    if comptime!(form.biased) {
        let place = column % comptime!(width / form.turns) + comptime!(form.part(part).first);
        let bias = biases.index(part);
        value += f32::cast_from(bias[place]);
    }
    if comptime!(form.added) {
        let added = added.index(0usize);
        value += f32::cast_from(added[row % added_rows * width + column]);
    }
    if comptime!(form.after == Activation::Relu) {
        value = max(value, 0.0);
    }
    if comptime!(form.after == Activation::Gelu) {
        value = gelu::<f32>(value);
    }
    let before = comptime!(form.part(part).slot * width);
    output[row * comptime!(form.output_width(part)) + before + column] = F::cast_from(value);
}
