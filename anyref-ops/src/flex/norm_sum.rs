//! Layer normalisation of a sum, and its sum with positions, in one pass over the rows.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorMetadata};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::activation::{Activation, activate};
use super::buffer::{SMALL, all_f32, tensor, values};
use super::contiguous::contiguous;
use super::linear::Output;
use super::norm::normalise;
use super::simd::{Kernel, Simd, dispatch};
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Values of a task.
const CHUNK: usize = 16 * 1024;

/// Arguments of [`norm_sum`].
#[derive(Debug, Clone)]
pub(crate) struct NormSum<B: Backend, const D: usize> {
    /// `[.., d]`
    pub(crate) x: Tensor<B, D>,
    /// Addend of `x`, of its shape.
    pub(crate) added: Option<Tensor<B, D>>,
    /// Addend of the norm, `[1 or the first dimension of x, .., d]`.
    pub(crate) places: Option<Tensor<B, D>>,
    /// `[d]`
    pub(crate) gamma: Tensor<B, 1>,
    /// `[d]`
    pub(crate) beta: Tensor<B, 1>,
    /// Term added to the variance.
    pub(crate) epsilon: f64,
    /// Function of the norm.
    pub(crate) activation: Option<Activation>,
}

/// Results of [`norm_sum`], all of the shape of `x`.
pub(crate) struct Normed<B: Backend, const D: usize> {
    /// `x + added`, if that is given.
    pub(crate) sum: Option<Tensor<B, D>>,
    /// Norm of the sum.
    pub(crate) norm: Tensor<B, D>,
    /// Norm with its places, if they are given.
    pub(crate) placed: Option<Tensor<B, D>>,
}

/// Computes norms and sums without gradients, or returns the arguments. The sum takes the memory of
/// either addend that nothing else needs.
#[allow(clippy::result_large_err)]
pub(crate) fn norm_sum<B: Backend, const D: usize>(
    input: NormSum<B, D>,
) -> Result<Normed<B, D>, NormSum<B, D>> {
    let dims = input.x.dims();
    let width = dims[D - 1];
    let parameters = [&input.gamma, &input.beta];
    let parameters_fit = parameters
        .iter()
        .all(|parameter| parameter.dims() == [width] && all_f32(&[parameter.dtype()]));
    let added_fits = input
        .added
        .as_ref()
        .is_none_or(|added| added.dims() == dims && all_f32(&[added.dtype()]));
    let places_fit = input.places.as_ref().is_none_or(|places| {
        let of = places.dims();
        (of[0] == 1 || of[0] == dims[0]) && of[1..] == dims[1..] && all_f32(&[places.dtype()])
    });
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && dims.iter().all(|&size| size > 0)
        && all_f32(&[input.x.dtype()])
        && parameters_fit
        && added_fits
        && places_fit;
    if !fits {
        return Err(input);
    }
    let flat = |x: Tensor<B, D>| contiguous(to_primitive::<B, D, FlexTensor>(x));
    let flat_row = |x: Tensor<B, 1>| contiguous(to_primitive::<B, 1, FlexTensor>(x));
    let shape = to_primitive::<B, D, FlexTensor>(input.x.clone()).shape();
    let places = input.places.map(flat);
    let [gamma, beta] = [input.gamma, input.beta].map(flat_row);
    let (mut x, mut added) = (flat(input.x), input.added.map(flat));
    if let Some(added) = &mut added
        && added.try_storage_mut::<f32>().is_none()
    {
        core::mem::swap(&mut x, added);
    }
    let count = values(&x).len();
    let mut fresh = Vec::new();
    let mut is_fresh = false;
    if let Some(added) = &mut added {
        is_fresh = added.try_storage_mut::<f32>().is_none();
        if is_fresh {
            fresh = values(added).to_vec();
        }
    }
    let sum = match (&mut added, is_fresh) {
        (Some(added), false) => added.try_storage_mut::<f32>(),
        (Some(_), true) => Some(&mut fresh[..]),
        (None, _) => None,
    };
    let rows = Rows {
        x: values(&x),
        places: places.as_ref().map(values),
        parameters: [values(&gamma), values(&beta)],
        epsilon: input.epsilon as f32,
        activation: input.activation,
    };
    let [norm, placed] = outputs(rows, sum);
    let sum = match is_fresh {
        true => Some(tensor(fresh, shape.clone())),
        false => added,
    };
    debug_assert_eq!(norm.len(), count);
    Ok(Normed {
        sum: sum.map(from_primitive),
        norm: from_primitive(tensor(norm, shape.clone())),
        placed: (!placed.is_empty()).then(|| from_primitive(tensor(placed, shape))),
    })
}

/// Rows `[rows, width]`, and places to add to their norms; there may be fewer places, which repeat.
#[derive(Clone, Copy)]
struct Rows<'a> {
    x: &'a [f32],
    places: Option<&'a [f32]>,
    /// Scale and shift, `[width]`.
    parameters: [&'a [f32]; 2],
    epsilon: f32,
    activation: Option<Activation>,
}

/// Norm, and norm with places, of rows; or of the sum with `added`, which becomes that sum.
fn outputs(rows: Rows<'_>, added: Option<&mut [f32]>) -> [Vec<f32>; 2] {
    let (count, width) = (rows.x.len(), rows.parameters[0].len());
    let (mut norm, mut placed) = (Vec::with_capacity(count), Vec::new());
    if rows.places.is_some() {
        placed.reserve_exact(count);
    }
    let length = if rows.places.is_some() { count } else { 0 };
    let outputs = [
        Output::new(added.unwrap_or(&mut []), width),
        Output::unwritten(&mut norm.spare_capacity_mut()[..count], width),
        Output::unwritten(&mut placed.spare_capacity_mut()[..length], width),
    ];
    let together = (CHUNK / width).max(1);
    let all = count / width;
    let task = |index: usize| {
        let first = index * together;
        dispatch(Task {
            rows,
            range: [first, all.min(first + together)],
            outputs: &outputs,
        });
    };
    let tasks = all.div_ceil(together);
    match count <= SMALL {
        true => (0..tasks).for_each(task),
        false => (0..tasks).into_par_iter().for_each(task),
    }
    // SAFETY: the tasks have written all rows.
    unsafe {
        norm.set_len(count);
        placed.set_len(length);
    }
    [norm, placed]
}

/// Some of the rows.
struct Task<'a> {
    rows: Rows<'a>,
    /// First row, and the one after the last.
    range: [usize; 2],
    /// Addend that becomes the sum, norm, and norm with places; those that are not wanted are
    /// empty.
    outputs: &'a [Output<'a>; 3],
}

impl Kernel for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Rows {
            x,
            places,
            parameters: [gamma, beta],
            epsilon,
            activation,
        } = self.rows;
        let [sums, norms, placed] = self.outputs;
        let width = gamma.len();
        let of = |row: usize| row * width..(row + 1) * width;
        // SAFETY: the rows are the task's alone; those without values yet are cleared, which takes
        // less time than what follows.
        let written = |output: &Output<'_>, row: usize| unsafe {
            core::slice::from_raw_parts_mut(output.part(row..row + 1, 0..width), width)
        };
        let unwritten = |output: &Output<'_>, row: usize| unsafe {
            output.part(row..row + 1, 0..width).write_bytes(0, width);
            core::slice::from_raw_parts_mut(output.part(row..row + 1, 0..width), width)
        };
        for row in self.range[0]..self.range[1] {
            let (x, norm) = (&x[of(row)], unwritten(norms, row));
            match sums.is_empty() {
                true => normalise::<S>(x, gamma, Some(beta), norm, epsilon),
                false => {
                    let sum = written(sums, row);
                    for (sum, &x) in sum.iter_mut().zip(x) {
                        *sum += x;
                    }
                    normalise::<S>(sum, gamma, Some(beta), norm, epsilon);
                }
            }
            if let Some(activation) = activation {
                activate::<S>(activation, norm);
            }
            if let Some(places) = places {
                let places = &places[of(row % (places.len() / width))];
                let out = unwritten(placed, row);
                for (out, (&norm, &place)) in out.iter_mut().zip(norm.iter().zip(places)) {
                    *out = norm + place;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;
    use burn_flex::Flex;

    /// Each part equals that of the operations by themselves, whoever else needs the addends.
    #[test]
    fn parts_are_those_of_each_operation() {
        let device = Default::default();
        for [batch, rows, width] in [[1, 1, 1], [2, 3, 5], [3, 40, 64], [2, 100, 257]] {
            let x = random::<Flex, 3>([batch, rows, width], 1, &device);
            let added = random::<Flex, 3>([batch, rows, width], 2, &device);
            let [gamma, beta] = [3, 4].map(|seed| random::<Flex, 1>([width], seed, &device));
            let norm = |x: &Tensor<Flex, 3>| {
                crate::layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-5).into_data()
            };
            let sum = x.clone() + added.clone();
            let own = |x: &Tensor<Flex, 3>| Tensor::from_data(x.to_data(), &device);
            for (x, added) in [
                (x.clone(), added.clone()),
                (own(&x), added.clone()),
                (x.clone(), own(&added)),
            ] {
                let [found, normed] =
                    crate::add_layer_norm([x, added], gamma.clone(), beta.clone(), 1e-5);
                assert_eq!(found.into_data(), sum.to_data());
                assert_eq!(normed.into_data(), norm(&sum));
            }
            let gelu =
                crate::layer_norm_gelu(x.clone(), gamma.clone(), beta.clone(), 1e-5).into_data();
            let expected = Tensor::<Flex, 3>::from_data(norm(&x), &device);
            assert_eq!(gelu, crate::gelu(expected).into_data());
            for places in [1, batch] {
                let places = random::<Flex, 3>([places, rows, width], 5, &device);
                for added in [None, Some(added.clone())] {
                    let of = added.as_ref().map_or(&x, |_| &sum);
                    let parameters = [gamma.clone(), beta.clone()];
                    let [normed, placed] = crate::placed_layer_norm(
                        x.clone(),
                        added,
                        places.clone(),
                        parameters,
                        1e-5,
                    );
                    assert_eq!(normed.to_data(), norm(of));
                    assert_eq!(placed.into_data(), (normed + places.clone()).into_data());
                }
            }
        }
    }
}
