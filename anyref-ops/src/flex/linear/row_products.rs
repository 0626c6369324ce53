//! Products of the same rows with several weights, after a norm and with positions.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Shape, Tensor, TensorMetadata, bf16, f16};
use burn_flex::FlexTensor;

use super::super::buffer::{all_f32, tensor, values};
use super::super::contiguous::contiguous;
use super::super::norm::{LayerNormParameters, LayerNormValues};
use super::arithmetic::{Arithmetic, Straight, Wide};
use super::ending::Ending;
use super::narrow::{self, NarrowProduct, Rows};
use super::output::Output;
use super::stored::Stored;
use super::weight::{Weight, in_lines};
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Product with one weight.
#[derive(Debug)]
pub(crate) struct RowProduct<B: Backend> {
    /// `[d, outputs]`
    pub(crate) weight: Tensor<B, 2>,
    /// `[outputs]`
    pub(crate) bias: Option<Tensor<B, 1>>,
    /// Multiplies the rows with their positions instead of the rows alone.
    pub(crate) placed: bool,
    /// Summand of the output, `[period, outputs]`; it repeats.
    pub(crate) added: Option<Tensor<B, 2>>,
}

/// Arguments of [`row_products`].
#[derive(Debug)]
pub(crate) struct RowProductsInput<B: Backend> {
    /// `[rows, d]`
    pub(crate) x: Tensor<B, 2>,
    /// Norm of the rows before their products.
    pub(crate) norm: Option<LayerNormParameters<B>>,
    /// Positions, added after the norm, `[period, d]`; they repeat.
    pub(crate) places: Option<Tensor<B, 2>>,
    /// Products, at least one.
    pub(crate) products: Vec<RowProduct<B>>,
}

/// Results of [`row_products`].
pub(crate) struct RowProductsOutput<B: Backend> {
    /// Rows after the norm, if there is one, `[rows, d]`.
    pub(crate) normed: Option<Tensor<B, 2>>,
    /// `[rows, outputs]` of each product.
    pub(crate) outputs: Vec<Tensor<B, 2>>,
}

/// Returns whether a backend has this form for so many rows, before anything is prepared for it.
pub(crate) fn has_row_products<B: Backend>(rows: usize) -> bool {
    FlexKind::of::<B>() == Some(FlexKind::Inference) && narrow::are_many(rows)
}

/// Returns whether there are many rows and few weights, all weights of one type and the rest f32.
fn fits<B: Backend>(input: &RowProductsInput<B>) -> bool {
    let RowProductsInput {
        x,
        norm,
        places,
        products,
    } = input;
    let [rows, depth] = x.dims();
    let repeats = |summand: &Option<Tensor<B, 2>>, width: usize| {
        summand.as_ref().is_none_or(|summand| {
            let [period, columns] = summand.dims();
            let whole = period > 0 && rows.is_multiple_of(period);
            whole && columns == width && all_f32(&[summand.dtype()])
        })
    };
    let [first, ..] = &products[..] else {
        return false;
    };
    let dtype = first.weight.dtype();
    has_row_products::<B>(rows)
        && all_f32(&[x.dtype()])
        && matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
        && norm.as_ref().is_none_or(|norm| norm.fit(depth))
        && repeats(places, depth)
        && products.iter().all(|product| {
            let [of, width] = product.weight.dims();
            of == depth
                && product.weight.dtype() == dtype
                && narrow::fits(rows, depth, width)
                && (places.is_some() || !product.placed)
                && repeats(&product.added, width)
                && (product.bias.as_ref())
                    .is_none_or(|bias| bias.dims() == [width] && all_f32(&[bias.dtype()]))
        })
}

/// Computes norm, positions and products of some rows at a time without gradients; `None` for other
/// sizes and types.
pub(crate) fn row_products<B: Backend>(input: RowProductsInput<B>) -> Option<RowProductsOutput<B>> {
    if !fits(&input) {
        return None;
    }
    let [rows, depth] = input.x.dims();
    let of = |tensor: Tensor<B, 2>| -> FlexTensor { contiguous(to_primitive(tensor)) };
    let inputs = Inputs {
        x: of(input.x),
        norm: input.norm.as_ref().map(LayerNormParameters::values),
        places: input.places.map(of),
    };
    let products = input.products.into_iter().map(|product| Operands {
        width: product.weight.dims()[1],
        weight: in_lines(to_primitive(product.weight)),
        bias: product.bias.map(|bias| contiguous(to_primitive(bias))),
        placed: product.placed,
        added: product.added.map(of),
    });
    let products: Vec<_> = products.collect();
    let mut outputs = match products[0].weight.dtype() {
        DType::F32 => inputs.multiply::<f32, Straight>(&products),
        DType::F16 => inputs.multiply::<f16, Wide>(&products),
        _ => inputs.multiply_bf16(&products),
    };
    let float = |values: Vec<f32>, width: usize| -> Tensor<B, 2> {
        from_primitive(tensor(values, Shape::new([rows, width])))
    };
    let normed = inputs.norm.is_some().then(|| outputs.remove(0));
    let outputs = outputs.into_iter().zip(&products);
    Some(RowProductsOutput {
        normed: normed.map(|normed| float(normed, depth)),
        outputs: outputs
            .map(|(values, product)| float(values, product.width))
            .collect(),
    })
}

/// Rows in memory.
struct Inputs {
    x: FlexTensor,
    norm: Option<LayerNormValues>,
    places: Option<FlexTensor>,
}

/// Operands of one product in memory.
struct Operands {
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    placed: bool,
    added: Option<FlexTensor>,
    width: usize,
}

impl Inputs {
    /// Products with weights of bf16, for which rows are rounded where the processor multiplies
    /// both.
    fn multiply_bf16(&self, products: &[Operands]) -> Vec<Vec<f32>> {
        #[cfg(target_arch = "x86_64")]
        if super::bf16_dot::are_multiplied() {
            return self.multiply::<bf16, super::arithmetic::Pairs>(products);
        }
        self.multiply::<bf16, Wide>(products)
    }

    /// Normalised rows, if there is a norm, and the output of each product.
    fn multiply<H: Stored, A: Arithmetic<H>>(&self, products: &[Operands]) -> Vec<Vec<f32>> {
        let [rows, depth] = self.x.shape().dims();
        let normed = self.norm.is_some().then_some(depth);
        let widths = products.iter().map(|product| product.width);
        let widths: Vec<_> = normed.into_iter().chain(widths).collect();
        let lengths = widths.iter().map(|width| rows * width);
        let mut outputs: Vec<Vec<f32>> = lengths.map(Vec::with_capacity).collect();
        let mut places = outputs.iter_mut().zip(&widths).map(|(output, &width)| {
            Output::unwritten(&mut output.spare_capacity_mut()[..rows * width], width)
        });
        let norm = self
            .norm
            .as_ref()
            .and_then(|norm| Some((norm, places.next()?)));
        let input = Rows {
            x: values(&self.x),
            depth,
            norm,
            places: self.places.as_ref().map(values),
        };
        let products = products
            .iter()
            .zip(places)
            .map(|(product, out)| NarrowProduct {
                weight: Weight::<H>::new(&product.weight),
                ending: Ending {
                    bias: product.bias.as_ref().map(values),
                    activation: None,
                },
                placed: product.placed,
                added: product.added.as_ref().map(values),
                out,
            });
        let products: Vec<_> = products.collect();
        narrow::products::<H, A>(&input, &products);
        drop((input, products));
        for (output, width) in outputs.iter_mut().zip(&widths) {
            // SAFETY: the products and the norm have written all of their outputs.
            unsafe { output.set_len(rows * width) };
        }
        outputs
    }
}
