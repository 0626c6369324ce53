//! Transposed convolutions that double a map's sides, over rows of channels.

use burn::nn::conv::ConvTranspose2d;
use burn::tensor::{Tensor, backend::Backend};

use crate::nn::LayerNorm2d;
use crate::{add_shared, gelu, layer_norm_gelu, linear, linear_gelu, permute};

/// Arguments of [`doubled`].
#[derive(Debug)]
pub(crate) struct Doubling<'a, B: Backend> {
    /// Rows of channels, `[n, in]`.
    pub(crate) rows: Tensor<B, 2>,
    /// Norm of the rows, followed by GELU, before the convolution.
    pub(crate) norm: Option<&'a LayerNorm2d<B>>,
    /// Summand of the outputs, `[k, 4 * out]` for any `k` that divides `n`; it repeats every `k`
    /// rows.
    pub(crate) added: Option<Tensor<B, 2>>,
    /// Applies GELU to the outputs.
    pub(crate) gelu: bool,
}

impl<B: Backend> Doubling<'_, B> {
    /// Convolution of rows as they are.
    pub(crate) fn of(rows: Tensor<B, 2>) -> Self {
        Self {
            rows,
            norm: None,
            added: None,
            gelu: false,
        }
    }
}

/// Applies a transposed convolution of kernel and stride 2, in which each output depends on one row
/// of channels. On GPUs without gradients it takes one launch.
///
/// # Shapes
/// - output: `[n * 4, out]`, the 4 positions (y, x) of a row consecutively
pub(crate) fn doubled<B: Backend>(
    conv: &ConvTranspose2d<B>,
    input: Doubling<'_, B>,
) -> Tensor<B, 2> {
    #[cfg(feature = "cube")]
    if let Some(output) = in_one_launch(conv, &input) {
        return output;
    }
    let Doubling {
        mut rows,
        norm,
        added,
        gelu: activated,
    } = input;
    if let Some(norm) = norm {
        let (weight, bias) = (norm.weight.val(), norm.bias.val());
        rows = layer_norm_gelu(rows, weight, bias, norm.epsilon);
    }
    let weight = conv.weight.val();
    let [input, output, _, _] = weight.dims();
    let [count, _] = rows.dims();
    let weight = permute(weight, [0, 2, 3, 1]).reshape([input, 4 * output]);
    // The gradient of burn 0.21's `repeat_dim` is wrong for a dimension longer than 1.
    let bias = conv.bias.as_ref().map(|bias| {
        let bias: Tensor<B, 2> = bias.val().unsqueeze();
        bias.expand([4, output]).reshape([4 * output])
    });
    let y = match added {
        Some(added) => {
            let [period, width] = added.dims();
            let y = linear(rows, weight, bias);
            let repeated = y.reshape([count / period.max(1), period, width]);
            let y = add_shared(repeated, added.unsqueeze()).reshape([count, width]);
            match activated {
                true => gelu(y),
                false => y,
            }
        }
        None if activated => linear_gelu(rows, weight, bias),
        None => linear(rows, weight, bias),
    };
    y.reshape([count * 4, output])
}

#[cfg(feature = "cube")]
fn in_one_launch<B: Backend>(
    conv: &ConvTranspose2d<B>,
    input: &Doubling<'_, B>,
) -> Option<Tensor<B, 2>> {
    use crate::cube::{Activation, DenseProduct, Form, KernelRows, NormParameters, Part};

    let weight = conv.weight.val();
    let [inputs, outputs, _, _] = weight.dims();
    let form = Form {
        activated: input.norm.is_some(),
        after: match input.gelu {
            true => Activation::Gelu,
            false => Activation::Identity,
        },
        turns: 4,
        ..Form::new(&[Part {
            outputs: 4 * outputs,
            ..Part::default()
        }])
    };
    let norm = input.norm.map(|norm| NormParameters {
        gamma: norm.weight.val(),
        beta: Some(norm.bias.val()),
        epsilon: norm.epsilon,
    });
    let rows = KernelRows {
        x: &input.rows,
        norm: norm.as_ref(),
        places: None,
        added: input.added.as_ref(),
    };
    let product = DenseProduct {
        weight: weight.reshape([inputs, 4 * outputs]),
        bias: conv.bias.as_ref().map(|bias| bias.val()),
    };
    let output = crate::cube::row_products(form, rows, vec![product])?.pop()?;
    let [count, _] = output.dims();
    Some(output.reshape([count * 4, outputs]))
}
