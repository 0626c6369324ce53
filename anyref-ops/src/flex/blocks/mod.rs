//! Products of rows and weights in blocks. Rows are quantised to eight bits and multiplied as
//! integers: sums within a block are exact, sums of blocks are f32.

mod aligned;
mod form;
mod panel_product;
mod panels;
mod rows;
#[cfg(test)]
mod tests;
mod tracked;
#[cfg(target_arch = "x86_64")]
mod x86;

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::buffer::{all_f32, tensor, values};
use super::contiguous::contiguous;
use super::instruction_set::InstructionSet;
use super::linear::Output;
use crate::dispatch::{FlexKind, from_primitive, to_primitive};
use form::{Form, Portable};
pub(crate) use panels::Panels;
use panels::{OUTPUTS, PanelType};
use rows::{Rows, TILE};
pub(crate) use tracked::tracked_block_product;

/// Bytes of weights of a task, which stay in a core's cache while they are used for all rows.
const TASK: usize = 64 * 1024;
/// Bytes of weights of a task with a single row, which reads each of them once.
const TASK_OF_ONE_ROW: usize = 256 * 1024;

/// Weight and bias of a product.
pub(crate) struct BlockInput<'a, B: Backend> {
    pub(crate) weight: &'a Panels,
    /// `[width]`
    pub(crate) bias: Option<Tensor<B, 1>>,
}

/// Computes `x · weight + bias` for each weight, or returns `x` unless all types are f32 on the
/// processor without gradients.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - output: `[rows, width]` of each weight
pub(crate) fn block_products<B: Backend>(
    x: Tensor<B, 2>,
    weights: &[BlockInput<'_, B>],
) -> Result<Vec<Tensor<B, 2>>, Tensor<B, 2>> {
    let [rows, depth] = x.dims();
    let biases_fit = weights.iter().all(|input| {
        let bias = input.bias.as_ref();
        bias.is_none_or(|bias| all_f32(&[bias.dtype()]) && bias.dims() == [input.weight.dims()[1]])
    });
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[x.dtype()])
        && weights.iter().all(|input| input.weight.dims()[0] == depth)
        && biases_fit;
    if !fits {
        return Err(x);
    }
    let x: FlexTensor = contiguous(to_primitive(x));
    let biases = weights.iter().map(|input| {
        let bias = input.bias.clone();
        bias.map(|bias| contiguous(to_primitive::<B, 1, FlexTensor>(bias)))
    });
    let biases: Vec<_> = biases.collect();
    let inputs = weights.iter().zip(&biases);
    let inputs: Vec<_> = inputs
        .map(|(input, bias)| (input.weight, bias.as_ref().map(values)))
        .collect();
    let outputs = products(values(&x), &inputs, InstructionSet::current());
    let outputs = outputs.into_iter().zip(weights).map(|(output, input)| {
        from_primitive(tensor(output, Shape::new([rows, input.weight.dims()[1]])))
    });
    Ok(outputs.collect())
}

/// Computes `x · weight + bias` for each weight and its bias, with the rows of `x` quantised to
/// eight bits, on an instruction set that the machine has.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - bias: `[width]`
/// - output: `[rows, width]` of each weight
fn products(
    x: &[f32],
    weights: &[(&Panels, Option<&[f32]>)],
    instructions: InstructionSet,
) -> Vec<Vec<f32>> {
    let mut quantised: Vec<(PanelType, Rows)> = Vec::new();
    for (weight, _) in weights {
        let panel_type = weight.panel_type;
        if !x.is_empty() && quantised.iter().all(|(other, _)| *other != panel_type) {
            quantised.push((panel_type, Rows::quantize(x, weight.depth, panel_type)));
        }
    }
    let size = |weight: &Panels| x.len() / weight.depth.max(1) * weight.width;
    let mut outputs: Vec<Vec<f32>> = (weights.iter())
        .map(|(weight, _)| Vec::with_capacity(size(weight)))
        .collect();
    let mut tasks = Vec::new();
    for (&(weight, bias), output) in weights.iter().zip(&mut outputs) {
        let rows = quantised.iter().find(|(of, _)| *of == weight.panel_type);
        let Some((_, rows)) = rows.filter(|_| size(weight) > 0) else {
            continue;
        };
        let output = &mut output.spare_capacity_mut()[..size(weight)];
        let output = Output::unwritten(output, weight.width);
        let panels = weight.width.div_ceil(OUTPUTS);
        let task = match size(weight) == weight.width {
            true => TASK_OF_ONE_ROW,
            false => TASK,
        };
        let together = (task / (weight.memory() / panels).max(1)).max(1);
        // Balances the parts, so that no thread idles while others have several.
        let together = together.min(panels.div_ceil(rayon::current_num_threads()));
        tasks.extend((0..panels).step_by(together).map(|first| Task {
            weight,
            rows,
            bias,
            output: output.shared(),
            panels: first..panels.min(first + together),
        }));
    }
    match tasks.len() {
        1 => tasks.into_iter().for_each(|task| task.run_by(instructions)),
        _ => tasks
            .into_par_iter()
            .for_each(|task| task.run_by(instructions)),
    }
    for ((weight, _), output) in weights.iter().zip(&mut outputs) {
        // SAFETY: the tasks have written all rows of all panels.
        unsafe { output.set_len(size(weight)) };
    }
    outputs
}

/// Some panels of a product.
struct Task<'a> {
    weight: &'a Panels,
    rows: &'a Rows,
    bias: Option<&'a [f32]>,
    output: Output<'a>,
    panels: core::ops::Range<usize>,
}

impl Task<'_> {
    fn run_by(self, instructions: InstructionSet) {
        match instructions {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the features were detected, here and below.
            InstructionSet::Avx512Vnni | InstructionSet::Avx512Bf16 => unsafe { vnni(self) },
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512(self) },
            #[cfg(target_arch = "x86_64")]
            InstructionSet::AvxVnni => unsafe { avx_vnni(self) },
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { avx2(self) },
            // SAFETY: no instruction beyond the baseline is used.
            _ => unsafe { self.run::<Portable>() },
        }
    }

    /// # Safety
    /// The machine must have the instructions of the form.
    #[inline(always)]
    unsafe fn run<F: Form>(self) {
        let width = self.weight.width;
        let mut products = [0.0; TILE * OUTPUTS];
        let mut row = 0;
        for tile in self.rows.tiles() {
            for index in self.panels.clone() {
                let panel = self.weight.panel(index);
                let products = &mut products[..tile.count * OUTPUTS];
                // SAFETY: the caller's.
                unsafe {
                    let panel_type = self.weight.panel_type;
                    panel_product::product::<F>(panel_type, panel, tile, products);
                }
                let outputs = index * OUTPUTS..width.min((index + 1) * OUTPUTS);
                for (offset, products) in products.chunks_exact(OUTPUTS).enumerate() {
                    // SAFETY: these outputs belong to this task alone.
                    unsafe {
                        let outputs = outputs.clone();
                        self.output
                            .store(row + offset, outputs, products, self.bias);
                    }
                }
            }
            row += tile.count;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn avx2(task: Task<'_>) {
    // SAFETY: the instructions are those of this function, here and below.
    unsafe { task.run::<x86::Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avxvnni,avx2,fma,f16c")]
fn avx_vnni(task: Task<'_>) {
    unsafe { task.run::<x86::AvxVnni>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
fn avx512(task: Task<'_>) {
    unsafe { task.run::<x86::Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
fn vnni(task: Task<'_>) {
    unsafe { task.run::<x86::Vnni>() }
}
