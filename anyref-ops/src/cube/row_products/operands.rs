//! Tensors of products of rows.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::form::Form;
use crate::cube::launching::type_of;

/// Tensors of a launch, contiguous but for the weights.
#[derive(Debug, Clone)]
pub(super) struct Operands<R: CubeRuntime> {
    pub(super) x: CubeTensor<R>,
    pub(super) norm: Vec<CubeTensor<R>>,
    pub(super) places: Vec<CubeTensor<R>>,
    pub(super) weights: Vec<CubeTensor<R>>,
    pub(super) biases: Vec<CubeTensor<R>>,
    pub(super) added: Vec<CubeTensor<R>>,
}

impl<R: CubeRuntime> Operands<R> {
    /// Takes the inputs of a form apart.
    pub(super) fn new(form: &Form, inputs: Vec<CubeTensor<R>>) -> Self {
        let mut inputs = inputs.into_iter();
        let mut take = |count: usize| inputs.by_ref().take(count).collect::<Vec<_>>();
        let contiguous = |tensors: Vec<CubeTensor<R>>| {
            tensors.into_iter().map(into_contiguous).collect::<Vec<_>>()
        };
        let count = form.parts().len();
        let x = take(1).remove(0);
        let norm = contiguous(take(2 * usize::from(form.normed)));
        let places = contiguous(take(usize::from(form.placed)));
        let weights = take(count);
        let biases = contiguous(take(count * usize::from(form.biased)));
        Self {
            x: into_contiguous(x),
            norm,
            places,
            weights,
            biases,
            added: contiguous(take(usize::from(form.added))),
        }
    }

    /// Number of rows after which positions or summands repeat; missing ones have one row.
    pub(super) fn period(repeated: &[CubeTensor<R>]) -> usize {
        repeated.first().map_or(1, |x| type_of(x).dims::<2>()[0])
    }
}
