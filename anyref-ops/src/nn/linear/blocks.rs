//! Weights in blocks, on the processor.

use core::ops::Range;
use std::sync::Arc;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor, TensorData};

use super::as_rows::as_rows;
use super::product_in_parts::product_in_parts;
use crate::blocks::{BlockRows, BlockType, Blocks};
use crate::dispatch::BackendKind;
use crate::flex::{self, Panels};

/// Weight `[d_input, d_output]` in blocks along the inputs of each output, of any
/// [format](BlockType). Not trainable.
///
/// Products of f32 without gradients quantise the rows of the input to eight bits and multiply
/// integers; others multiply the values as floats, a bounded number of them at a time, and keep
/// nothing but the blocks for the gradient of the input. Copies share the memory.
#[derive(Debug, Clone)]
pub struct BlockWeight<B: Backend> {
    panels: Arc<Panels>,
    device: B::Device,
}

impl<B: Backend> BlockWeight<B> {
    /// Repacks a matrix `[d_output, d_input]`.
    ///
    /// Panels hold the same values, except for formats without their own kernels (`Q5_1`, `Q5_K`),
    /// which are rounded to `Q8_0` with a warning in the log.
    ///
    /// # Panics
    /// On a backend other than the processor's.
    pub fn new(blocks: &Blocks<'_>, device: &B::Device) -> Self {
        let Ok(weight) = Self::read(blocks, device);
        weight
    }

    /// Repacks a matrix `[d_output, d_input]` whose rows are fetched meanwhile, as
    /// [`new`](Self::new) does.
    ///
    /// # Errors
    /// When rows cannot be fetched.
    ///
    /// # Panics
    /// On a backend other than the processor's.
    pub fn read<R: BlockRows>(blocks: &R, device: &B::Device) -> Result<Self, R::Error> {
        assert!(
            crate::on_processor::<B>(),
            "blocks are multiplied on the processor"
        );
        Ok(Self {
            panels: Arc::new(Panels::new(blocks)?),
            device: device.clone(),
        })
    }

    /// Shape, `[d_input, d_output]`.
    pub fn dims(&self) -> [usize; 2] {
        self.panels.dims()
    }

    /// Format.
    pub fn block_type(&self) -> BlockType {
        self.panels.block_type()
    }

    /// Blocks, `[d_output, d_input]`, as they were given, except for converted formats.
    pub fn to_blocks(&self) -> Blocks<'static> {
        self.panels.to_blocks()
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.panels.memory()
    }

    /// Device of the blocks.
    pub fn device(&self) -> B::Device {
        self.device.clone()
    }

    /// Moves the weight to a device.
    pub(in crate::nn) fn to_device(&self, device: &B::Device) -> Self {
        Self {
            panels: self.panels.clone(),
            device: device.clone(),
        }
    }

    /// Values of some outputs, `[outputs.len(), d_input]` in f32, one row for each output.
    ///
    /// # Panics
    /// When an output is out of range.
    pub fn rows(&self, outputs: &[usize]) -> Tensor<B, 2> {
        let [d_input, _] = self.dims();
        let mut values = vec![0.0; outputs.len() * d_input];
        let rows = values.chunks_exact_mut(d_input.max(1));
        for (&output, values) in outputs.iter().zip(rows) {
            self.panels.dequantize_row(output, values);
        }
        let data = TensorData::new(values, [outputs.len(), d_input]);
        Tensor::from_data(data, (&self.device, DType::F32))
    }

    /// Values of some outputs, `[d_input, outputs.len()]` in f32.
    pub fn dequantize(&self, outputs: Range<usize>) -> Tensor<B, 2> {
        self.rows(&outputs.collect::<Vec<_>>()).transpose()
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
        let weights = [BlockProduct { weight: self, bias }];
        match products(x, &weights) {
            Ok(products) => products.into_iter().next().expect("one product"),
            Err(x) => {
                let [BlockProduct { bias, .. }] = weights;
                self.product_of_floats(x, bias)
            }
        }
    }

    /// [`product`](Self::product) of floats: in f32 where there are gradients, as the blocks'
    /// scales are.
    fn product_of_floats<const D: usize>(
        &self,
        x: Tensor<B, D>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        let ([d_input, d_output], dtype) = (self.dims(), x.dtype());
        let outputs = 0..d_output;
        if !BackendKind::of::<B>(&self.device).has_gradients() {
            return self.product_of(x, outputs, bias);
        }
        let mut shape = x.dims();
        let rows = shape[..D - 1].iter().product::<usize>();
        let wide = x.cast(DType::F32).reshape([rows, d_input]);
        let wide_bias = bias.clone().map(|bias| bias.cast(DType::F32));
        match flex::tracked_block_product(wide, &self.panels, wide_bias) {
            Ok(product) => {
                shape[D - 1] = d_output;
                product.reshape(shape).cast(dtype)
            }
            Err(wide) => self.product_of(wide.reshape(shape).cast(dtype), outputs, bias),
        }
    }

    /// Computes some of the outputs of `x · weight + bias` as products of floats, with a bounded
    /// number of weights dequantized at once.
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

impl<B: AutodiffBackend> BlockWeight<B> {
    /// Weight on the backend without gradients.
    pub(in crate::nn) fn inner(&self) -> BlockWeight<B::InnerBackend> {
        BlockWeight {
            panels: self.panels.clone(),
            device: self.device.clone(),
        }
    }

    /// Weight on the backend with gradients.
    pub(in crate::nn) fn from_inner(weight: BlockWeight<B::InnerBackend>) -> Self {
        Self {
            panels: weight.panels,
            device: weight.device,
        }
    }
}

/// Weight and bias of a product.
pub(super) struct BlockProduct<'a, B: Backend> {
    pub(super) weight: &'a BlockWeight<B>,
    pub(super) bias: Option<Tensor<B, 1>>,
}

/// Computes products of one input and several weights at once, or returns the input unless it is
/// f32 without gradients.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - outputs: `[.., d_output]` of each weight
pub(super) fn products<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    weights: &[BlockProduct<'_, B>],
) -> Result<Vec<Tensor<B, D>>, Tensor<B, D>> {
    let each = weights.iter().map(|product| flex::BlockInput {
        weight: &product.weight.panels,
        bias: product.bias.clone(),
    });
    let each: Vec<_> = each.collect();
    as_rows(x, |x| flex::block_products(x, &each))
}

#[cfg(test)]
mod tests {
    use super::super::{Linear, LinearConfig, LinearWeight};
    use super::*;
    use crate::testing::random;
    use burn::backend::Autodiff;
    use burn::module::Module;
    use burn_flex::Flex;

    /// Random blocks.
    fn drawn<B: Backend>(block_type: BlockType, d_output: usize) -> Blocks<'static> {
        let values = random::<B, 2>([d_output, 256], 5, &Default::default()).into_data();
        let values: Vec<f32> = values.iter::<f32>().map(|x| 0.1 * x).collect();
        Blocks::quantize(block_type, [d_output, 256], &values).unwrap()
    }

    /// Layer with random weights in blocks, and one with equal values as floats.
    fn layers<B: Backend>(block_type: BlockType, d_output: usize) -> [Linear<B>; 2] {
        let device = Default::default();
        let blocks = drawn::<B>(block_type, d_output);
        let mut layer = LinearConfig::new(256, d_output).init(&device);
        layer.bias.as_ref().map(|bias| bias.val());
        layer.weight = LinearWeight::from_blocks(&blocks, &device);
        let mut floats = layer.clone();
        floats.weight = LinearWeight::Dense(burn::module::Param::from_tensor(layer.weight.val()));
        [layer, floats]
    }

    fn distance<const D: usize>(a: Tensor<Flex, D>, b: Tensor<Flex, D>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn layers_in_blocks_are_those_in_floats() {
        let device = Default::default();
        for block_type in [BlockType::Q8_0, BlockType::Q4_0, BlockType::Q4K] {
            let [blocks, floats] = layers::<Flex>(block_type, 70);
            let given = drawn::<Flex>(block_type, 70);
            assert!(matches!(blocks.weight, LinearWeight::Blocks(_)));
            assert_eq!((blocks.weight.dims(), blocks.num_params()), ([256, 70], 70));
            for rows in [1, 5, 40] {
                let x = random::<Flex, 3>([2, rows, 256], 7, &device);
                let found = blocks.forward(x.clone());
                assert!(
                    distance(found.clone(), floats.forward(x.clone())) < 0.1,
                    "{block_type}"
                );
                // A range of outputs is computed as products of floats.
                let part = blocks.forward_outputs(x, 30..61);
                assert!(distance(part, found.narrow(2, 30, 31)) < 0.1);
            }
            let half = Tensor::<Flex, 2>::ones([2, 256], &device).cast(DType::F16);
            assert_eq!(blocks.forward(half).dtype(), DType::F16);
            let again = blocks.weight.to_blocks().unwrap();
            assert_eq!(again.block_type(), block_type);
            assert_eq!(again.bytes(), given.bytes());
            let text = format!("{blocks}");
            assert!(text.contains(block_type.name()), "{text}");
            // A record stores the values as floats.
            let read = floats.clone().load_record(blocks.clone().into_record());
            assert_eq!(distance(read.weight.val(), blocks.weight.val()), 0.0);
        }
    }

    #[test]
    fn several_layers_at_once_are_each_by_itself() {
        let device = Default::default();
        let [a, _] = layers::<Flex>(BlockType::Q4_0, 70);
        let [b, _] = layers::<Flex>(BlockType::Q8_0, 16);
        let [c, floats] = layers::<Flex>(BlockType::Q4_0, 33);
        let x = random::<Flex, 3>([1, 3, 256], 7, &device);
        for third in [&c, &floats] {
            let together = Linear::forward_each([&a, &b, third], x.clone());
            for (found, layer) in together.into_iter().zip([&a, &b, third]) {
                assert_eq!(distance(found, layer.forward(x.clone())), 0.0);
            }
        }
    }

    #[test]
    fn gradients_pass_through_blocks_of_any_format() {
        type B = Autodiff<Flex>;
        let device = Default::default();
        let [layer, floats] = layers::<B>(BlockType::Q4K, 40);
        let x = random::<B, 2>([3, 256], 7, &device).require_grad();
        let of = |layer: &Linear<B>| {
            let y = layer.forward(x.clone());
            let gradients = (y.clone() * y.clone()).sum().backward();
            [y.inner(), x.grad(&gradients).unwrap()]
        };
        for (found, expected) in of(&layer).into_iter().zip(of(&floats)) {
            assert!(distance(found, expected) < 1e-3);
        }
    }

    /// Outputs in several parts, with a bias that is trained, in f32 and in bf16, and with
    /// activations that are computed again.
    #[test]
    fn gradients_pass_through_the_blocks_alone() {
        use burn::backend::autodiff::checkpoint::strategy::BalancedCheckpointing;
        fn check<B: AutodiffBackend<InnerBackend = Flex, Device = burn_flex::FlexDevice>>(
            dtype: DType,
            allowed: f32,
        ) {
            let device = Default::default();
            let width = 2 * 1024 * 1024 / 256 + 300;
            for block_type in [BlockType::Q8_0, BlockType::Q4_0] {
                let [mut layer, mut floats] = layers::<B>(block_type, width);
                let bias = random::<B, 1>([width], 3, &device).require_grad();
                for layer in [&mut layer, &mut floats] {
                    let bias = burn::module::Param::from_tensor(bias.clone());
                    layer.bias = Some(bias.set_require_grad(true));
                }
                let x = random::<B, 3>([2, 3, 256], 7, &device).require_grad();
                let along = random::<B, 3>([2, 3, width], 9, &device);
                let of = |layer: &Linear<B>| {
                    let y = layer.forward(x.clone().cast(dtype)).cast(DType::F32);
                    let gradients = (y.clone() * along.clone()).sum().backward();
                    let bias = layer.bias.as_ref().unwrap().val();
                    let bias = bias.grad(&gradients).unwrap();
                    let bias = bias.reshape([1, 1, width]);
                    [y.inner(), x.grad(&gradients).unwrap(), bias]
                };
                for (found, expected) in of(&layer).into_iter().zip(of(&floats)) {
                    let size = expected.clone().abs().max().into_scalar();
                    let error = distance(found, expected);
                    assert!(error < allowed * size, "{block_type}: {error} of {size}");
                }
            }
        }
        check::<Autodiff<Flex>>(DType::F32, 1e-5);
        check::<Autodiff<Flex, BalancedCheckpointing>>(DType::F32, 1e-5);
        check::<Autodiff<Flex>>(DType::BF16, 2e-2);
    }
}
