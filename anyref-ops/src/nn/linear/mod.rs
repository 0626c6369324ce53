//! Linear layer over a weight with replaceable storage.

#[cfg(feature = "flex")]
mod as_rows;
#[cfg(feature = "flex")]
mod blocks;
#[cfg(feature = "cube")]
mod dense;
#[cfg(feature = "flex")]
mod int8;
mod parts;
#[cfg(feature = "cube")]
mod planes;
mod product_in_parts;
mod q8_0;
mod weight;

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, activation, backend::Backend};

#[cfg(feature = "flex")]
pub use blocks::BlockWeight;
#[cfg(feature = "flex")]
pub use int8::Int8Weight;
#[cfg(feature = "cube")]
pub use planes::PlaneWeight;
pub use q8_0::{Q8_0Block, Q8_0Weight};
pub use weight::LinearWeight;

#[cfg(feature = "flex")]
use crate::flex;

/// Configuration of a [`Linear`] layer.
#[derive(Config, Debug)]
pub struct LinearConfig {
    /// Size of the inputs.
    pub d_input: usize,
    /// Size of the outputs.
    pub d_output: usize,
    /// Adds a bias.
    #[config(default = true)]
    pub bias: bool,
    /// Initialiser of weight and bias.
    #[config(default = "Initializer::KaimingUniform{gain:1.0/f64::sqrt(3.0), fan_out_only:false}")]
    pub initializer: Initializer,
}

impl LinearConfig {
    /// Creates the layer with a dense weight, drawn as burn's `Linear` draws it.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Linear<B> {
        let layer = burn::nn::LinearConfig::new(self.d_input, self.d_output)
            .with_bias(self.bias)
            .with_initializer(self.initializer.clone())
            .init(device);
        Linear {
            weight: LinearWeight::Dense(layer.weight),
            bias: layer.bias,
        }
    }
}

/// Linear layer `y = x · weight + bias` (`torch.nn.Linear`, whose weight is transposed). Uses the
/// shared [product](crate::linear): weights may stay in half precision, and sizes for which burn's
/// GPU kernels are wrong are padded.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// Weight, `[d_input, d_output]`.
    pub weight: LinearWeight<B>,
    /// Bias, `[d_output]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Backend> Linear<B> {
    /// Computes `y`.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - output: `[.., d_output]`
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        self.weight
            .product(x, self.bias.as_ref().map(|bias| bias.val()))
    }

    /// Computes `relu(y)`. On GPUs without gradients a few rows of `x` and a dense weight take one
    /// launch.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - output: `[.., d_output]`
    pub fn forward_relu<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        #[cfg(feature = "cube")]
        if let Some(product) = self.dense_product()
            && let Some(output) = dense::clipped(product, &x)
        {
            return output;
        }
        activation::relu(self.forward(x))
    }

    /// Computes `gelu(y)`. On the processor without gradients, for a weight of floats or of eight
    /// bits, it is applied to each tile of the product while the tile is in the cache.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - output: `[.., d_output]`
    pub fn forward_gelu<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        #[cfg(feature = "flex")]
        let x = match self.activated(x, flex::Activation::Gelu) {
            Ok(output) => return output,
            Err(x) => x,
        };
        crate::gelu(self.forward(x))
    }

    /// Computes `quick_gelu(y)`, in the way of [`forward_gelu`](Self::forward_gelu).
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - output: `[.., d_output]`
    pub fn forward_quick_gelu<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        #[cfg(feature = "flex")]
        let x = match self.activated(x, flex::Activation::QuickGelu) {
            Ok(output) => return output,
            Err(x) => x,
        };
        crate::quick_gelu(self.forward(x))
    }

    /// Computes the activation of the output together with it, or returns the input.
    #[cfg(feature = "flex")]
    fn activated<const D: usize>(
        &self,
        x: Tensor<B, D>,
        activation: flex::Activation,
    ) -> Result<Tensor<B, D>, Tensor<B, D>> {
        let bias = || self.bias.as_ref().map(|bias| bias.val());
        match &self.weight {
            LinearWeight::Int8(weight) => weight.activated(x, bias(), Some(activation)),
            LinearWeight::Dense(weight) => {
                crate::linear::activated(x, weight.val(), bias(), activation)
            }
            _ => Err(x),
        }
    }

    /// Computes the outputs of several layers for one input. Weights in blocks or of eight bits on
    /// the processor are multiplied together, and so are three dense ones and a few rows of `x` on
    /// GPUs without gradients.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - outputs: `[.., d_output]` of each layer
    pub fn forward_each<const D: usize, const N: usize>(
        layers: [&Self; N],
        x: Tensor<B, D>,
    ) -> [Tensor<B, D>; N] {
        #[cfg(feature = "flex")]
        let x = {
            let in_blocks = |layer: &&Self| matches!(layer.weight, LinearWeight::Blocks(_));
            let of_eight_bits = |layer: &&Self| matches!(layer.weight, LinearWeight::Int8(_));
            let outputs = if layers.iter().all(in_blocks) {
                Self::block_products(layers, x)
            } else if layers.iter().all(of_eight_bits) {
                Self::int8_products(layers, x)
            } else {
                Err(x)
            };
            match outputs {
                Ok(outputs) => return outputs,
                Err(x) => x,
            }
        };
        #[cfg(feature = "cube")]
        if let Some(outputs) = dense::each(layers.map(Self::dense_product), &x) {
            return outputs;
        }
        layers.map(|layer| layer.forward(x.clone()))
    }

    /// Computes `silu(gate(x)) · up(x)`. On GPUs without gradients a few rows of `x` and dense
    /// weights take one launch.
    ///
    /// # Shapes
    /// - x: `[.., d_input]`
    /// - output: `[.., d_output]`
    pub fn forward_gated<const D: usize>(gate: &Self, up: &Self, x: Tensor<B, D>) -> Tensor<B, D> {
        #[cfg(feature = "cube")]
        if let (Some(gate), Some(up)) = (gate.dense_product(), up.dense_product())
            && let Some(output) = dense::gated(gate, up, &x)
        {
            return output;
        }
        let [gate, up] = Self::forward_each([gate, up], x);
        crate::swiglu(gate, up)
    }

    /// Weight and bias, unless the weight is in blocks.
    #[cfg(feature = "cube")]
    pub(super) fn dense_product(&self) -> Option<crate::cube::DenseProduct<B>> {
        let weight = self.weight.dense()?.val();
        let bias = self.bias.as_ref().map(|bias| bias.val());
        Some(crate::cube::DenseProduct { weight, bias })
    }

    /// Computes the products of weights in blocks, or returns the input.
    #[cfg(feature = "flex")]
    fn block_products<const D: usize, const N: usize>(
        layers: [&Self; N],
        x: Tensor<B, D>,
    ) -> Result<[Tensor<B, D>; N], Tensor<B, D>> {
        let weights = layers.iter().filter_map(|layer| match &layer.weight {
            LinearWeight::Blocks(weight) => Some(blocks::BlockProduct {
                weight,
                bias: layer.bias.as_ref().map(|bias| bias.val()),
            }),
            _ => None,
        });
        let outputs = blocks::products(x, &weights.collect::<Vec<_>>())?;
        Ok(outputs.try_into().expect("an output a layer"))
    }

    /// Computes the products of weights of eight bits, or returns the input.
    #[cfg(feature = "flex")]
    fn int8_products<const D: usize, const N: usize>(
        layers: [&Self; N],
        x: Tensor<B, D>,
    ) -> Result<[Tensor<B, D>; N], Tensor<B, D>> {
        let weights = layers.iter().filter_map(|layer| match &layer.weight {
            LinearWeight::Int8(weight) => {
                Some((weight, layer.bias.as_ref().map(|bias| bias.val())))
            }
            _ => None,
        });
        let outputs = int8::products(x, &weights.collect::<Vec<_>>(), None)?;
        Ok(outputs.try_into().expect("an output a layer"))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::backend::Autodiff;
    use burn::module::{AutodiffModule, ModuleMapper, ModuleVisitor};
    use burn::tensor::{DType, Distribution};
    use burn_flex::Flex;

    fn layer<B: Backend>(device: &B::Device) -> Linear<B> {
        B::seed(device, 3);
        let layer = LinearConfig::new(64, 70).init(device);
        // The lazy parameter is drawn now; otherwise each clone would draw its own values.
        layer.weight.val();
        layer.bias.as_ref().map(Param::val);
        layer
    }

    fn quantised<B: Backend>(mut layer: Linear<B>) -> Linear<B> {
        let blocks = Q8_0Weight::quantize(&layer.weight.val().into_data(), &layer.weight.device());
        layer.weight = LinearWeight::Q8_0(blocks.expect("whole blocks"));
        layer
    }

    fn distance<const D: usize>(a: Tensor<Flex, D>, b: Tensor<Flex, D>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn a_dense_layer_is_burns() {
        let device = Default::default();
        let ours = layer::<Flex>(&device);
        let burns = burn::nn::Linear {
            weight: ours.weight.dense().unwrap().clone(),
            bias: ours.bias.clone(),
        };
        let x = Tensor::<Flex, 3>::random([2, 5, 64], Distribution::Default, &device);
        let whole = ours.forward(x.clone());
        assert!(distance(whole.clone(), burns.forward(x.clone())) < 1e-5);
        let part = ours.forward_outputs(x.clone(), 7..40);
        assert!(distance(part, whole.clone().narrow(2, 7, 33)) < 1e-5);
        let parts: [_; 2] = ours.forward_parts(x.flatten::<2>(0, 1));
        assert!(distance(Tensor::cat(parts.to_vec(), 1), whole.flatten::<2>(0, 1)) < 1e-5);
        Flex::seed(&device, 3);
        let drawn = burn::nn::LinearConfig::new(64, 70).init::<Flex>(&device);
        assert_eq!(drawn.weight.to_data(), ours.weight.val().to_data());
    }

    /// Paths and containers of the parameters, which name them in files.
    #[derive(Default)]
    struct Paths(Vec<String>, Vec<String>);

    impl<B: Backend> ModuleVisitor<B> for Paths {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.push(format!("{container}.{name}"));
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }

        fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<B, D>>) {
            self.1.push(self.0.join("/"));
        }
    }

    #[test]
    fn parameters_are_named_as_burns_are() {
        let device = Default::default();
        let (mut ours, mut burns) = (Paths::default(), Paths::default());
        layer::<Flex>(&device).visit(&mut ours);
        burn::nn::LinearConfig::new(2, 3)
            .init::<Flex>(&device)
            .visit(&mut burns);
        assert_eq!(ours.1, ["Struct:Linear.weight", "Struct:Linear.bias"]);
        assert_eq!(ours.1, burns.1);
    }

    #[test]
    fn blocks_multiply_as_their_dense_weight() {
        let device = Default::default();
        let dense = layer::<Flex>(&device);
        let blocks = quantised(dense.clone());
        let mut widened = dense.clone();
        widened.weight = LinearWeight::Dense(Param::from_tensor(blocks.weight.val()));
        for rows in [1, 3, 100] {
            let x = Tensor::<Flex, 2>::random([rows, 64], Distribution::Default, &device);
            let found = blocks.forward(x.clone());
            assert!(distance(found.clone(), widened.forward(x.clone())) < 1e-5);
            // Rounding to eight bits, relative to the largest of 32 weights of at most 1/8, over 64
            // inputs.
            assert!(distance(found.clone(), dense.forward(x.clone())) < 2e-2);
            let part = blocks.forward_outputs(x, 30..61);
            assert!(distance(part, found.narrow(1, 30, 31)) < 1e-5);
        }
        assert_eq!(blocks.num_params(), 70);
        let half = Tensor::<Flex, 2>::ones([2, 64], &device).cast(DType::F16);
        assert_eq!(blocks.forward(half).dtype(), DType::F16);
    }

    #[test]
    fn gradients_pass_through_blocks() {
        type B = Autodiff<Flex>;
        let device = Default::default();
        let layer = quantised(layer::<B>(&device));
        let x = Tensor::<B, 2>::ones([3, 64], &device).require_grad();
        let grads = layer.forward(x.clone()).sum().backward();
        let expected = layer.weight.val().inner().sum_dim(1).transpose();
        let found = x.grad(&grads).unwrap();
        assert!(distance(found, expected.expand([3, 64])) < 1e-4);
        assert!(layer.bias.as_ref().unwrap().val().grad(&grads).is_some());
        let (x, inner) = (x.inner(), layer.valid());
        assert!(
            distance(
                inner.forward(x.clone()),
                layer.forward(Tensor::from_inner(x)).inner()
            ) < 1e-6
        );
    }

    struct Double;

    impl<B: Backend> ModuleMapper<B> for Double {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            param.map(|x| x * 2.0)
        }
    }

    #[test]
    fn mappers_and_records_reach_dense_weights_and_keep_blocks() {
        let device = Default::default();
        let dense = layer::<Flex>(&device);
        let twice = dense.clone().map(&mut Double);
        assert_eq!(distance(twice.weight.val(), dense.weight.val() * 2.0), 0.0);
        let blocks = quantised(dense.clone());
        let mapped = blocks.clone().map(&mut Double);
        assert_eq!(distance(mapped.weight.val(), blocks.weight.val()), 0.0);
        // A record stores blocks as a dense weight.
        let read = dense.load_record(blocks.clone().into_record());
        assert!(read.weight.dense().is_some());
        assert_eq!(distance(read.weight.val(), blocks.weight.val()), 0.0);
    }
}
