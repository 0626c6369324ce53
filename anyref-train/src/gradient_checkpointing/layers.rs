//! Gradient checkpointing of layers: only their inputs are kept, and the backward pass recomputes
//! them one by one (Chen et al. 2016).

use core::fmt::Debug;

use anyref_data::scenes::mix;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Distribution, Tensor};

/// Two states that pass through all layers together.
pub(crate) type States<B> = [Tensor<B, 3>; 2];

/// Layers that are computed one after the other.
pub(crate) trait Layers<B: AutodiffBackend>: Debug {
    /// Number of layers.
    fn count(&self) -> usize;

    /// Output of one layer, a function of the states, parameters and random draws alone.
    fn forward(&self, layer: usize, states: States<B>) -> States<B>;

    /// Copy of the layers with parameters that record no graph.
    fn no_grad(&self) -> Self
    where
        Self: Sized;
}

/// All tensors computed before the layers and used after them. The backward pass through the layers
/// would consume the graph of any other such tensor, parameters excepted, and lose its gradients.
#[derive(Debug, Clone)]
pub(crate) struct Boundary<B: AutodiffBackend> {
    /// Tensors that pass through the layers.
    pub(crate) states: States<B>,
    /// Tensors that skip the layers.
    pub(crate) skip: Vec<Tensor<B, 3>>,
}

impl<B: AutodiffBackend> Boundary<B> {
    /// Tensors in order.
    fn tensors(self) -> impl Iterator<Item = Tensor<B, 3>> {
        self.states.into_iter().chain(self.skip)
    }
}

/// Layers computed without a graph, between the graph before and the graph after them.
#[derive(Debug)]
pub(crate) struct Checkpointed<B: AutodiffBackend> {
    layers: Box<dyn Layers<B>>,
    /// Inputs of the first layer, in the graph before the layers.
    input: Boundary<B>,
    /// Inputs of each layer.
    inputs: Vec<States<B::InnerBackend>>,
    /// Outputs of the last layer, leaves of the graph after the layers.
    output: Boundary<B>,
    /// Seed of random draws, so that recomputation repeats them.
    seed: Option<u64>,
}

impl<B: AutodiffBackend> Checkpointed<B> {
    /// Computes the layers. The outputs, and the tensors that skip the layers, are leaves of a new
    /// graph. If a layer draws random numbers (`draws`), as dropout does, no other thread may draw
    /// from the backend meanwhile, nor during [`backward`](Self::backward).
    pub(crate) fn forward(
        input: Boundary<B>,
        layers: impl Layers<B> + 'static,
        draws: bool,
    ) -> (Self, Boundary<B>) {
        let device = input.states[0].device();
        let seed = draws.then(|| drawn_seed::<B>(&device));
        let mut states = input.states.clone().map(Tensor::inner);
        let mut inputs = Vec::with_capacity(layers.count());
        let no_grad = layers.no_grad();
        for layer in 0..layers.count() {
            inputs.push(states.clone());
            seed_layer::<B>(seed, layer, &device);
            let outputs = no_grad.forward(layer, states.map(Tensor::from_inner));
            states = outputs.map(Tensor::inner);
        }
        let skip = input.skip.iter().cloned().map(Tensor::inner);
        let output = Boundary {
            states: states.map(leaf),
            skip: skip.map(leaf).collect(),
        };
        let checkpointed = Self {
            layers: Box::new(layers),
            input,
            inputs,
            output: output.clone(),
            seed,
        };
        (checkpointed, output)
    }

    /// Propagates the gradients in `after` back through the layers and into the graph before them.
    /// `each` is called with the gradients of every layer's parameters, and of the graph before, as
    /// soon as they are computed.
    pub(crate) fn backward(
        self,
        after: &mut B::Gradients,
        mut each: impl FnMut(&mut B::Gradients),
    ) {
        let device = self.input.states[0].device();
        let Boundary { states, skip } = self.output;
        let mut above = states.map(|leaf| leaf.grad_remove(after));
        let skip: Vec<_> = skip.iter().map(|leaf| leaf.grad_remove(after)).collect();
        for (layer, inputs) in self.inputs.into_iter().enumerate().rev() {
            let inputs = inputs.map(leaf);
            seed_layer::<B>(self.seed, layer, &device);
            let outputs = self.layers.forward(layer, inputs.clone());
            let outputs = outputs.into_iter().zip(above);
            let mut gradients = weighted(outputs, &device).backward();
            above = inputs.map(|leaf| leaf.grad_remove(&mut gradients));
            each(&mut gradients);
        }
        let gradients = above.into_iter().chain(skip);
        each(&mut weighted(self.input.tensors().zip(gradients), &device).backward());
    }
}

fn leaf<B: AutodiffBackend>(state: Tensor<B::InnerBackend, 3>) -> Tensor<B, 3> {
    Tensor::from_inner(state).require_grad()
}

/// Scalar whose gradient for each state is the one paired with it; it has a graph even if no state
/// has one.
fn weighted<B: AutodiffBackend>(
    pairs: impl Iterator<Item = (Tensor<B, 3>, Option<Tensor<B::InnerBackend, 3>>)>,
    device: &B::Device,
) -> Tensor<B, 1> {
    let products = pairs.filter_map(|(state, gradient)| {
        let product = state * Tensor::from_inner(gradient?);
        Some(product.sum())
    });
    let sum = products.reduce(|a, b| a + b);
    let sum = sum.unwrap_or_else(|| Tensor::zeros([1], device));
    let nothing = Tensor::zeros_like(&sum).require_grad();
    sum + nothing
}

fn drawn_seed<B: AutodiffBackend>(device: &B::Device) -> u64 {
    let drawn = Tensor::<B::InnerBackend, 1>::random([2], Distribution::Uniform(0.0, 1.0), device);
    let drawn = drawn.into_data().convert::<f32>();
    drawn
        .iter::<f32>()
        .fold(0, |seed, value| mix(seed ^ u64::from(value.to_bits())))
}

fn seed_layer<B: AutodiffBackend>(seed: Option<u64>, layer: usize, device: &B::Device) {
    if let Some(seed) = seed {
        B::seed(device, mix(seed ^ layer as u64));
    }
}

#[cfg(test)]
mod tests {
    use anyref_ops::nn::{Linear, LinearConfig};
    use burn::backend::{Autodiff, Flex};
    use burn::module::{AutodiffModule, Module};
    use burn::tensor::backend::Backend;

    use super::*;

    type B = Autodiff<Flex>;

    /// The second state is added to the first. Random draws are tested in training, without other
    /// threads that draw.
    #[derive(Module, Debug)]
    struct Linears<B: Backend> {
        linears: Vec<Linear<B>>,
    }

    impl Layers<B> for Linears<B> {
        fn count(&self) -> usize {
            self.linears.len()
        }

        fn forward(&self, layer: usize, [x, y]: States<B>) -> States<B> {
            let y = self.linears[layer].forward(y).tanh();
            [x * y.clone().sin(), y]
        }

        fn no_grad(&self) -> Self {
            Module::no_grad(self.clone())
        }
    }

    #[test]
    fn gradients_are_those_of_the_whole_graph() {
        let device = Default::default();
        let linear = |_| LinearConfig::new(6, 6).init(&device);
        let layers: Linears<B> = Linears {
            linears: (0..3).map(linear).collect(),
        };
        // Weights are drawn at their first use, by each clone separately.
        let layers = Linears::<B>::from_inner(layers.valid());
        let random = || Tensor::<B, 3>::random([2, 5, 6], Distribution::Default, &device);
        let (x, y) = (random().require_grad(), random().require_grad());
        let input = || [x.clone() * 2.0, y.clone().exp()];
        let loss = |[x, y]: States<B>, skip: Tensor<B, 3>| (x * skip + y.powf_scalar(2.0)).sum();

        let states = input();
        let skip = vec![states[1].clone()];
        let (checkpointed, output) =
            Checkpointed::forward(Boundary { states, skip }, layers.clone(), false);
        let value = loss(output.states, output.skip[0].clone());
        let mut sums: Vec<Option<Tensor<Flex, 2>>> = vec![None; 5];
        let mut add = |gradients: &mut <B as AutodiffBackend>::Gradients| {
            let flat = |gradient: Tensor<Flex, 3>| gradient.flatten(0, 1);
            let weights = layers.linears.iter().map(|l| l.weight.grad(gradients));
            let inputs = [&x, &y].map(|t| t.grad(gradients).map(flat));
            for (sum, gradient) in sums.iter_mut().zip(weights.chain(inputs)) {
                *sum = match (sum.take(), gradient) {
                    (Some(a), Some(b)) => Some(a + b),
                    (a, b) => a.or(b),
                };
            }
        };
        let mut after = value.clone().backward();
        checkpointed.backward(&mut after, &mut add);

        let mut states = input();
        let skip = states[1].clone();
        for layer in 0..3 {
            states = layers.forward(layer, states);
        }
        let expected = loss(states, skip);
        assert_eq!(expected.clone().into_scalar(), value.into_scalar());
        let gradients = expected.backward();
        let weights = layers.linears.iter().map(|l| l.weight.grad(&gradients));
        let inputs = [&x, &y].map(|t| t.grad(&gradients).map(|g| g.flatten(0, 1)));
        for (found, expected) in sums.into_iter().zip(weights.chain(inputs)) {
            let (found, expected) = (found.unwrap(), expected.unwrap());
            assert!(expected.clone().abs().max().into_scalar() > 1e-3);
            let apart = (found - expected).abs().max().into_scalar();
            assert!(apart < 1e-5, "{apart}");
        }
    }
}
