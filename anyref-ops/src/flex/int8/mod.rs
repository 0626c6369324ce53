//! Products of rows and weights that are both rounded to eight bits: one scale for each row of the
//! input and one for each output. Sums over all inputs are exact integers, which are multiplied by
//! the two scales once.

mod matrix;
mod rows;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

use core::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::activation::{Activation, activate};
use super::buffer::{all_f32, tensor, values};
use super::contiguous::contiguous;
use super::instruction_set::InstructionSet;
use super::linear::Output;
use super::simd::{Kernel, Simd, dispatch};
use crate::dispatch::{FlexKind, from_primitive, to_primitive};
pub(crate) use matrix::Int8Matrix;
use matrix::PANEL;
use rows::{BLOCK, RowBlock, Rows};
use tile::{Form, Panel, Portable, product};

/// Bytes of weights of a task, which stay in a core's cache while they are used for all rows.
const TASK: usize = 128 * 1024;
/// Products of up to this many pairs run on the calling thread, since waking another takes longer.
const ALONE: usize = 2 * 1024 * 1024;

/// Weight and bias of a product.
pub(crate) struct Int8Input<'a, B: Backend> {
    pub(crate) weight: &'a Int8Matrix,
    /// `[width]`
    pub(crate) bias: Option<Tensor<B, 1>>,
    /// Function of the sum of product and bias.
    pub(crate) activation: Option<Activation>,
}

/// Computes `activation(x · weight + bias)` for each weight, or returns `x` unless all types are
/// f32 on the processor without gradients.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - output: `[rows, width]` of each weight
pub(crate) fn int8_products<B: Backend>(
    x: Tensor<B, 2>,
    weights: &[Int8Input<'_, B>],
) -> Result<Vec<Tensor<B, 2>>, Tensor<B, 2>> {
    let [rows, depth] = x.dims();
    let biases_fit = weights.iter().all(|input| {
        let bias = input.bias.as_ref();
        bias.is_none_or(|bias| all_f32(&[bias.dtype()]) && bias.dims() == [input.weight.width])
    });
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[x.dtype()])
        && weights.iter().all(|input| input.weight.depth == depth)
        && biases_fit;
    if !fits {
        return Err(x);
    }
    let x: FlexTensor = contiguous(to_primitive(x));
    let factors = weights.iter().map(|input| {
        let bias = input.bias.clone();
        let bias = bias.map(|bias| contiguous(to_primitive::<B, 1, FlexTensor>(bias)));
        Factor {
            weight: input.weight,
            bias: padded(bias.as_ref().map(values), input.weight.width),
            activation: input.activation,
        }
    });
    let factors: Vec<_> = factors.collect();
    let outputs = products(values(&x), depth, &factors, InstructionSet::current());
    let outputs = outputs.into_iter().zip(weights).map(|(output, input)| {
        from_primitive(tensor(output, Shape::new([rows, input.weight.width])))
    });
    Ok(outputs.collect())
}

/// Right side of a product.
struct Factor<'a> {
    weight: &'a Int8Matrix,
    /// For each output of whole panels.
    bias: Vec<f32>,
    activation: Option<Activation>,
}

/// Bias of whole panels, zero where there is none.
fn padded(bias: Option<&[f32]>, width: usize) -> Vec<f32> {
    let mut padded = vec![0.0; width.next_multiple_of(PANEL)];
    if let Some(bias) = bias {
        padded[..bias.len()].copy_from_slice(bias);
    }
    padded
}

/// Computes `activation(x · weight + bias)` for each factor, on an instruction set that the machine
/// has.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - output: `[rows, width]` of each weight
fn products(
    x: &[f32],
    depth: usize,
    factors: &[Factor<'_>],
    instructions: InstructionSet,
) -> Vec<Vec<f32>> {
    let count = x.len().checked_div(depth).unwrap_or(0);
    if x.is_empty() {
        return factors.iter().map(|_| Vec::new()).collect();
    }
    let rows = Rows::round(x, depth);
    let mut outputs: Vec<Vec<f32>> = (factors.iter())
        .map(|factor| Vec::with_capacity(count * factor.weight.width))
        .collect();
    let mut tasks = Vec::new();
    for (factor, output) in factors.iter().zip(&mut outputs) {
        let weight = factor.weight;
        if weight.width == 0 {
            continue;
        }
        let output = &mut output.spare_capacity_mut()[..count * weight.width];
        let output = Output::unwritten(output, weight.width);
        let panels = weight.width.div_ceil(PANEL);
        let together = (TASK / weight.panels(0..1).len().max(1)).max(1);
        // Balances the parts, so that no thread idles while others have several.
        let together = together.min(panels.div_ceil(rayon::current_num_threads()));
        let end = |first: usize| panels.min(first + together);
        tasks.extend((0..panels).step_by(together).map(|first| Task {
            factor,
            rows: &rows,
            output: output.shared(),
            panels: first..end(first),
            next: weight.panels(end(first)..end(end(first))),
        }));
    }
    let pairs = x.len() * factors.iter().map(|f| f.weight.width).sum::<usize>();
    match pairs <= ALONE || tasks.len() < 2 {
        true => tasks.iter().for_each(|task| task.run_by(instructions)),
        false => tasks.par_iter().for_each(|task| task.run_by(instructions)),
    }
    drop(tasks);
    for (factor, output) in factors.iter().zip(&mut outputs) {
        // SAFETY: the tasks have written all rows of all panels.
        unsafe { output.set_len(count * factor.weight.width) };
    }
    outputs
}

/// Some panels of a product.
struct Task<'a> {
    factor: &'a Factor<'a>,
    rows: &'a Rows,
    output: Output<'a>,
    panels: Range<usize>,
    /// Weights of the next task, which are fetched meanwhile.
    next: &'a [u8],
}

impl Task<'_> {
    fn run_by(&self, instructions: InstructionSet) {
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
    unsafe fn run<F: Form>(&self) {
        let width = self.factor.weight.width;
        let columns = self.panels.start * PANEL..width.min(self.panels.end * PANEL);
        let blocks = self.rows.blocks();
        let fetched = self.next.len().div_ceil(blocks.len());
        for (index, rows) in blocks.enumerate() {
            let fetched = self.next.chunks(fetched.max(1)).nth(index);
            prefetch(fetched.unwrap_or(&[]));
            let first = index * BLOCK;
            let all = first..first + rows.factors.len();
            for panel in self.panels.clone() {
                let columns = panel * PANEL..width.min((panel + 1) * PANEL);
                // SAFETY: the caller's; the output of the panels belongs to this task alone.
                unsafe { self.panel::<F>(rows, &all, panel, columns) };
            }
            if let Some(activation) = self.factor.activation {
                dispatch(Activate {
                    output: &self.output,
                    rows: all,
                    columns: columns.clone(),
                    activation,
                });
            }
        }
    }

    /// Multiplies a block of rows with a panel.
    ///
    /// # Safety
    /// The machine must have the instructions of the form.
    #[inline(always)]
    unsafe fn panel<F: Form>(
        &self,
        block: RowBlock<'_>,
        rows: &Range<usize>,
        index: usize,
        columns: Range<usize>,
    ) {
        let Factor { weight, bias, .. } = self.factor;
        let panel = Panel {
            bytes: weight.panels(index..index + 1),
            scales: &weight.scales.as_chunks::<PANEL>().0[index],
            bias: &bias.as_chunks::<PANEL>().0[index],
        };
        let out = self.output.part(rows.clone(), columns.clone());
        // SAFETY: all of the output is in bounds.
        unsafe {
            if columns.len() == PANEL {
                product::<F>(block, panel, out, weight.width);
            } else {
                let mut whole = [0.0; BLOCK * PANEL];
                product::<F>(block, panel, whole.as_mut_ptr(), PANEL);
                for (row, values) in whole.chunks_exact(PANEL).take(rows.len()).enumerate() {
                    let out = out.add(row * weight.width);
                    out.copy_from_nonoverlapping(values.as_ptr(), columns.len());
                }
            }
        }
    }
}

/// Applies a function to a rectangle of the output, which the task has just written.
struct Activate<'a> {
    output: &'a Output<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    activation: Activation,
}

impl Kernel for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for row in self.rows {
            let out = self.output.part(row..row + 1, self.columns.clone());
            // SAFETY: written, and the task's alone.
            let out = unsafe { core::slice::from_raw_parts_mut(out, self.columns.len()) };
            activate::<S>(self.activation, out);
        }
    }
}

/// Asks the processor to fetch bytes into its second cache.
#[inline(always)]
fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint, of an address in the slice.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn avx2(task: &Task<'_>) {
    // SAFETY: the instructions are those of this function, here and below.
    unsafe { task.run::<x86::Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avxvnni,avx2,fma,f16c")]
fn avx_vnni(task: &Task<'_>) {
    unsafe { task.run::<x86::AvxVnni>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
fn avx512(task: &Task<'_>) {
    unsafe { task.run::<x86::Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
fn vnni(task: &Task<'_>) {
    unsafe { task.run::<x86::Vnni>() }
}
