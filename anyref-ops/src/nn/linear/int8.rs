//! Weights of eight bits with one scale for each output, on the processor.

use core::ops::Range;
use std::borrow::Cow;
use std::sync::Arc;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor, TensorData};

use super::as_rows::as_rows;
use super::product_in_parts::product_in_parts;
use crate::blocks::{BlockType, Blocks};
use crate::flex::{self, Activation, Int8Matrix};

/// Weight `[d_input, d_output]` of integers from -127 to 127 with one scale for each output. Not
/// trainable.
///
/// Products of f32 without gradients round each row of the input to integers with one scale and sum
/// integers over all inputs: faster for many rows than [blocks](super::BlockWeight), each of which
/// has its own scale, and less accurate. Others multiply the values as floats, a bounded number of
/// them at a time. Copies share the memory.
#[derive(Debug, Clone)]
pub struct Int8Weight<B: Backend> {
    matrix: Arc<Int8Matrix>,
    device: B::Device,
}

impl<B: Backend> Int8Weight<B> {
    /// Rounds a matrix `[d_output, d_input]`, of which all threads fetch some rows at a time.
    ///
    /// # Errors
    /// When rows cannot be fetched.
    ///
    /// # Panics
    /// On a backend other than the processor's, and for rows that do not
    /// [fit](super::LinearWeight::fits_int8).
    pub fn read<'a, E: Send>(
        [d_output, d_input]: [usize; 2],
        fetch: impl Fn(Range<usize>) -> Result<Cow<'a, [f32]>, E> + Sync,
        device: &B::Device,
    ) -> Result<Self, E> {
        assert!(
            crate::on_processor::<B>(),
            "integers are multiplied on the processor"
        );
        assert!(
            BlockType::Q8_0.row_bytes(d_input).is_some(),
            "rows of {d_input} values"
        );
        Ok(Self {
            matrix: Arc::new(Int8Matrix::read([d_output, d_input], fetch)?),
            device: device.clone(),
        })
    }

    /// Rounds a matrix `[d_output, d_input]` in memory, as [`read`](Self::read) does.
    ///
    /// # Panics
    /// As [`read`](Self::read), and when there are not as many values.
    pub fn new(dims: [usize; 2], values: &[f32], device: &B::Device) -> Self {
        let [d_output, d_input] = dims;
        assert_eq!(values.len(), d_output * d_input, "values of {dims:?}");
        let fetch = |rows: Range<usize>| {
            let rows = &values[rows.start * d_input..rows.end * d_input];
            Ok::<_, core::convert::Infallible>(Cow::Borrowed(rows))
        };
        let Ok(weight) = Self::read(dims, fetch, device);
        weight
    }

    /// Shape, `[d_input, d_output]`.
    pub fn dims(&self) -> [usize; 2] {
        self.matrix.dims()
    }

    /// Blocks of `Q8_0` with the same values, `[d_output, d_input]`.
    pub fn to_blocks(&self) -> Blocks<'static> {
        self.matrix.to_blocks()
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.matrix.memory()
    }

    /// Device of the weight.
    pub fn device(&self) -> B::Device {
        self.device.clone()
    }

    /// Moves the weight to a device.
    pub(super) fn to_device(&self, device: &B::Device) -> Self {
        Self {
            matrix: self.matrix.clone(),
            device: device.clone(),
        }
    }

    /// Values of some outputs, `[d_input, outputs.len()]` in f32.
    ///
    /// # Panics
    /// When an output is out of range.
    pub fn dequantize(&self, outputs: Range<usize>) -> Tensor<B, 2> {
        let [d_input, _] = self.dims();
        let mut values = vec![0.0; outputs.len() * d_input];
        let rows = values.chunks_exact_mut(d_input);
        for (output, values) in outputs.clone().zip(rows) {
            self.matrix.dequantize_row(output, values);
        }
        let data = TensorData::new(values, [outputs.len(), d_input]);
        Tensor::from_data(data, (&self.device, DType::F32)).transpose()
    }

    /// Computes `x · weight + bias`.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - bias: `[d_output]`
    /// - output: `[.., d_output]`, in the type of `x`
    pub fn product<const D: usize>(
        &self,
        x: Tensor<B, D>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        match self.activated(x, bias.clone(), None) {
            Ok(product) => product,
            Err(x) => self.product_of(x, 0..self.dims()[1], bias),
        }
    }

    /// Computes `activation(x · weight + bias)`, or returns `x` unless it is f32 without gradients.
    pub(super) fn activated<const D: usize>(
        &self,
        x: Tensor<B, D>,
        bias: Option<Tensor<B, 1>>,
        activation: Option<Activation>,
    ) -> Result<Tensor<B, D>, Tensor<B, D>> {
        let weight = (self, bias);
        let products = products(x, &[weight], activation)?;
        Ok(products.into_iter().next().expect("one product"))
    }

    /// Computes some of the outputs of `x · weight + bias` as products of floats, with a bounded
    /// number of weights as floats at once.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - bias: `[outputs.len()]`
    /// - output: `[.., outputs.len()]`, in the type of `x`
    pub(super) fn product_of<const D: usize>(
        &self,
        x: Tensor<B, D>,
        outputs: Range<usize>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        let [d_input, _] = self.dims();
        product_in_parts(x, d_input, outputs, bias, |part| self.dequantize(part))
    }
}

impl<B: AutodiffBackend> Int8Weight<B> {
    /// Weight on the backend without gradients.
    pub(super) fn inner(&self) -> Int8Weight<B::InnerBackend> {
        Int8Weight {
            matrix: self.matrix.clone(),
            device: self.device.clone(),
        }
    }

    /// Weight on the backend with gradients.
    pub(super) fn from_inner(weight: Int8Weight<B::InnerBackend>) -> Self {
        Self {
            matrix: weight.matrix,
            device: weight.device,
        }
    }
}

/// Computes products of one input and several weights with their biases, of which the input is
/// rounded once, or returns the input unless it is f32 without gradients.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - outputs: `[.., d_output]` of each weight
pub(super) fn products<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    weights: &[(&Int8Weight<B>, Option<Tensor<B, 1>>)],
    activation: Option<Activation>,
) -> Result<Vec<Tensor<B, D>>, Tensor<B, D>> {
    let each = weights.iter().map(|(weight, bias)| flex::Int8Input {
        weight: &weight.matrix,
        bias: bias.clone(),
        activation,
    });
    let each: Vec<_> = each.collect();
    as_rows(x, |x| flex::int8_products(x, &each))
}

#[cfg(test)]
mod tests {
    use super::super::{Linear, LinearConfig, LinearWeight};
    use super::*;
    use crate::testing::random;
    use burn::backend::Autodiff;
    use burn::module::{AutodiffModule, Module, Param};
    use burn_flex::Flex;

    /// Layer with random weights of eight bits, and one with equal values as floats.
    fn layers<B: Backend>(d_output: usize) -> [Linear<B>; 2] {
        let device = Default::default();
        let values = random::<B, 2>([d_output, 96], 5, &device).into_data();
        let values: Vec<f32> = values.iter::<f32>().map(|x| 0.1 * x).collect();
        let mut layer = LinearConfig::new(96, d_output).init(&device);
        layer.bias.as_ref().map(|bias| bias.val());
        layer.weight = LinearWeight::Int8(Int8Weight::new([d_output, 96], &values, &device));
        let mut floats = layer.clone();
        floats.weight = LinearWeight::Dense(Param::from_tensor(layer.weight.val()));
        [layer, floats]
    }

    fn distance<const D: usize>(a: Tensor<Flex, D>, b: Tensor<Flex, D>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn layers_of_eight_bits_are_those_in_floats() {
        let device = Default::default();
        let [rounded, floats] = layers::<Flex>(70);
        assert_eq!(
            (rounded.weight.dims(), rounded.num_params()),
            ([96, 70], 70)
        );
        for rows in [1, 5, 40] {
            let x = random::<Flex, 3>([2, rows, 96], 7, &device);
            let found = rounded.forward(x.clone());
            let expected = floats.forward(x.clone());
            assert!(distance(found.clone(), expected) < 0.03);
            let part = rounded.forward_outputs(x.clone(), 30..61);
            assert!(distance(part, found.clone().narrow(2, 30, 31)) < 0.03);
            // Activations are those of the output, and several layers each by itself.
            let gelu = rounded.forward_gelu(x.clone());
            assert!(distance(gelu, crate::gelu(found.clone())) < 1e-6);
            let quick = rounded.forward_quick_gelu(x.clone());
            assert!(distance(quick, crate::quick_gelu(found.clone())) < 1e-6);
            let each = Linear::forward_each([&rounded, &rounded], x);
            for each in each {
                assert_eq!(distance(each, found.clone()), 0.0);
            }
        }
        let half = Tensor::<Flex, 2>::ones([2, 96], &device).cast(DType::F16);
        assert_eq!(rounded.forward(half).dtype(), DType::F16);
        let text = format!("{rounded}");
        assert!(text.contains("Int8"), "{text}");
        // Files hold blocks, and records floats.
        let blocks = rounded.weight.to_blocks().unwrap();
        assert_eq!(rounded.weight.block_type(), Some(blocks.block_type()));
        let read = LinearWeight::<Flex>::from_blocks(&blocks, &device);
        assert_eq!(distance(read.val(), rounded.weight.val()), 0.0);
        let read = floats.clone().load_record(rounded.clone().into_record());
        assert_eq!(distance(read.weight.val(), rounded.weight.val()), 0.0);
    }

    #[test]
    fn gradients_pass_through_eight_bits() {
        type B = Autodiff<Flex>;
        let device = Default::default();
        let [layer, floats] = layers::<B>(40);
        let x = random::<B, 2>([3, 96], 7, &device).require_grad();
        let of = |layer: &Linear<B>| {
            let y = layer.forward_gelu(x.clone());
            let gradients = (y.clone() * y.clone()).sum().backward();
            [y.inner(), x.grad(&gradients).unwrap()]
        };
        for (found, expected) in of(&layer).into_iter().zip(of(&floats)) {
            assert!(distance(found, expected) < 1e-4);
        }
        let inner = layer.valid().forward(x.clone().inner());
        assert!(distance(inner, layer.forward(x).inner()) < 0.03);
    }

    #[test]
    fn only_whole_blocks_are_rounded() {
        let fits = LinearWeight::<Flex>::fits_int8;
        assert!(fits(32) && fits(4096) && !fits(0) && !fits(48) && !fits(1 << 20));
    }
}
