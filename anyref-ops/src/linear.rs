//! Linear layers.

#[cfg(feature = "cube")]
use super::cube::{self, DenseProduct};
use super::dispatch::{BackendKind, FlexKind, on_processor};
#[cfg(feature = "flex")]
use super::flex;
use super::matmul::is_safe;
use super::{matmul, matmul_transposed};
use burn::tensor::{Tensor, backend::Backend};

/// Computes `x · weight + bias`, over all rows of `x` as one product.
///
/// The weight may have another type than `x`; the output has the type of `x`. On the CPU backend a
/// half weight stays half in memory: it is widened tile by tile for many rows, and read once, in
/// order, for few; sums are f32. The gradient of `x` is fused, that of the weight is composed of
/// burn's operations. On GPUs without gradients up to 8 rows are multiplied by one kernel, which
/// widens half weights as it reads them. Other products convert a weight of another type at each
/// call.
///
/// # Shapes
/// - x: `[.., inputs]`
/// - weight: `[inputs, outputs]`
/// - bias: `[outputs]`
/// - output: `[.., outputs]`
pub fn linear<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
) -> Tensor<B, D> {
    let mut shape = x.dims();
    let inputs = shape[D - 1];
    let rows = shape[..D - 1].iter().product::<usize>();
    shape[D - 1] = weight.dims()[1];
    of_rows(x.reshape([rows, inputs]), weight, bias).reshape(shape)
}

/// Computes [`gelu`](super::gelu) of the [`linear`] product; on the processor without gradients it
/// is applied to each tile of the product while the tile is in the cache.
///
/// # Shapes
/// - x: `[.., inputs]`
/// - weight: `[inputs, outputs]`
/// - bias: `[outputs]`
/// - output: `[.., outputs]`
pub fn linear_gelu<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = {
        let (weight, bias) = (weight.clone(), bias.clone());
        match activated(x, weight, bias, flex::Activation::Gelu) {
            Ok(y) => return y,
            Err(x) => x,
        }
    };
    super::gelu(linear(x, weight, bias))
}

/// Computes `activation(x · weight + bias)` where the product is in the cache, or returns `x` where
/// there is no such form: on the processor without gradients.
#[cfg(feature = "flex")]
pub(crate) fn activated<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
    activation: flex::Activation,
) -> Result<Tensor<B, D>, Tensor<B, D>> {
    let mut shape = x.dims();
    let inputs = shape[D - 1];
    let rows = shape[..D - 1].iter().product::<usize>();
    let input = flex::LinearInput {
        x: x.reshape([rows, inputs]),
        weight,
        bias,
        activation: Some(activation),
    };
    match flex::linear(input) {
        Ok(y) => {
            shape[D - 1] = y.dims()[1];
            Ok(y.reshape(shape))
        }
        Err(input) => Err(input.x.reshape(shape)),
    }
}

/// Weights that [`linear`] prefers in the layout of PyTorch's files, where the inputs of an output
/// are contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredWeights {
    /// All weights: for a single row burn's GPU kernels assign a group of threads to each output,
    /// which needs contiguous inputs; they have no equally fast kernel for strided inputs. In
    /// WebAssembly too, without gradients: its vectors take several times as long to widen a half
    /// as to multiply, so weights are f32, and the kernels here read them.
    All,
    /// Half-precision weights, which are widened as they are read, and weights mapped from a file.
    HalfOrMapped,
    /// No weights, because their gradients have burn's order.
    None,
}

/// Weights that keep their stored layout on a device.
pub fn stored_weights<B: Backend>(device: &B::Device) -> StoredWeights {
    match BackendKind::of::<B>(device) {
        BackendKind::Flex(FlexKind::Inference) if cfg!(target_arch = "wasm32") => {
            StoredWeights::All
        }
        BackendKind::Flex(_) => StoredWeights::HalfOrMapped,
        BackendKind::Gpu => StoredWeights::All,
        BackendKind::GpuAutodiff => StoredWeights::None,
    }
}

/// Gives a computed weight the memory order that it would have if it were loaded: PyTorch's where
/// [all weights](StoredWeights::All) keep it. The values stay equal.
///
/// # Shapes
/// - weight and output: `[.., inputs, outputs]`
pub fn as_stored<B: Backend, const D: usize>(weight: Tensor<B, D>) -> Tensor<B, D> {
    match stored_weights::<B>(&weight.device()) {
        StoredWeights::All => {
            let transposed = weight.swap_dims(D - 2, D - 1);
            let shape = transposed.dims();
            // Flattening makes the values contiguous.
            let flat: Tensor<B, 1> = transposed.flatten(0, D - 1);
            flat.reshape(shape).swap_dims(D - 2, D - 1)
        }
        StoredWeights::HalfOrMapped | StoredWeights::None => weight,
    }
}

fn of_rows<B: Backend>(
    x: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
) -> Tensor<B, 2> {
    #[cfg(feature = "flex")]
    let flex::LinearInput {
        x, weight, bias, ..
    } = match flex::linear(flex::LinearInput {
        x,
        weight,
        bias,
        activation: None,
    }) {
        Ok(y) => return y,
        Err(input) => input,
    };
    // One launch with the bias, which is not tuned and reads half weights as they are.
    #[cfg(feature = "cube")]
    {
        let (weight, bias) = (weight.clone(), bias.clone());
        if let Some(y) = cube::one_product(&x, DenseProduct { weight, bias }) {
            return y;
        }
    }
    let dtype = x.dtype();
    let (weight, bias) = (weight.cast(dtype), bias.map(|bias| bias.cast(dtype)));
    if on_processor::<B>() {
        return burn::tensor::module::linear(x, weight, bias);
    }
    let stored = stored_weights::<B>(&x.device()) == StoredWeights::All;
    let y = match stored && !is_safe(x.dims()[1]) {
        true => matmul_transposed(x, weight.transpose()),
        false => matmul(x, weight),
    };
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}
