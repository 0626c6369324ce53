//! Multi-layer perceptrons over single tokens.

use core::ops::Range;

use burn::tensor::{Tensor, backend::Backend};

use super::{LayerNorm, Linear};

/// Linear layers with ReLU between them, over one token of each row.
#[derive(Debug, Clone)]
pub struct Head<'a, B: Backend> {
    /// Token that the first layer reads.
    pub token: usize,
    /// Layers, first to last, at least one.
    pub layers: &'a [Linear<B>],
    /// Outputs of the last layer that are computed.
    pub outputs: Range<usize>,
}

/// Computes heads over normalised tokens. On GPUs without gradients each layer of all heads is one
/// launch, the first one with the norm, if the heads have equally many layers and equal widths
/// between them.
///
/// # Shapes
/// - tokens: `[n, tokens, d]`
/// - outputs: `[n, outputs]` of each head
///
/// # Panics
/// When a head has no layer.
pub fn heads<B: Backend>(
    tokens: Tensor<B, 3>,
    norm: &LayerNorm<B>,
    heads: &[Head<'_, B>],
) -> Vec<Tensor<B, 2>> {
    #[cfg(feature = "cube")]
    if let Some(outputs) = together::heads(&tokens, norm, heads) {
        return outputs;
    }
    let tokens = norm.forward(tokens);
    let [count, _, dim] = tokens.dims();
    let of = |head: &Head<'_, B>| {
        let x = tokens.clone().narrow(1, head.token, 1);
        let (last, hidden) = head.layers.split_last().expect("a head has a layer");
        let x = x.reshape([count, dim]);
        let x = hidden.iter().fold(x, |x, layer| layer.forward_relu(x));
        let y = last.forward(x);
        match head.outputs.len() == y.dims()[1] {
            true => y,
            false => y.slice([0..count, head.outputs.clone()]),
        }
    };
    heads.iter().map(of).collect()
}

#[cfg(feature = "cube")]
mod together {
    use super::{Backend, Head, LayerNorm, Tensor};
    use crate::cube::{Activation, Form, KernelRows, MOST_PRODUCTS, Part, row_products};

    /// Layers of all heads at the same depth, one launch each.
    pub(super) fn heads<B: Backend>(
        tokens: &Tensor<B, 3>,
        norm: &LayerNorm<B>,
        heads: &[Head<'_, B>],
    ) -> Option<Vec<Tensor<B, 2>>> {
        let depth = heads.first()?.layers.len();
        let alike = heads.iter().all(|head| head.layers.len() == depth);
        if !alike || depth == 0 || heads.len() > MOST_PRODUCTS {
            return None;
        }
        let norm = norm.parameters();
        let (count, group) = (heads.len(), tokens.dims()[1]);
        let mut x: Tensor<B, 2> = tokens.clone().flatten(0, 1);
        for level in 0..depth {
            let (first, last) = (level == 0, level + 1 == depth);
            let products = heads.iter().map(|head| head.layers[level].dense_product());
            let products: Vec<_> = products.collect::<Option<_>>()?;
            let widths = products.iter().map(|product| product.weight.dims()[1]);
            let widths: Vec<_> = widths.collect();
            if !last && widths.iter().any(|&width| width != widths[0]) {
                return None;
            }
            let parts = heads.iter().zip(&widths).enumerate();
            let parts = parts.map(|(index, (head, &width))| Part {
                outputs: if last { head.outputs.len() } else { width },
                first: if last { head.outputs.start } else { 0 },
                row: if first { head.token } else { index },
                slot: if last { 0 } else { index },
                placed: false,
            });
            let form = Form {
                group: if first { group } else { count },
                slots: if last { 0 } else { count },
                after: match last {
                    true => Activation::Identity,
                    false => Activation::Relu,
                },
                ..Form::new(&parts.collect::<Vec<_>>())
            };
            let rows = KernelRows {
                x: &x,
                norm: first.then_some(&norm),
                places: None,
                added: None,
            };
            let mut outputs = row_products(form, rows, products)?;
            if last {
                return Some(outputs);
            }
            // Each head's outputs are a row of the next level's groups.
            let joined = outputs.pop()?;
            let rows = joined.dims()[0];
            x = joined.reshape([rows * count, widths[0]]);
        }
        None
    }
}
