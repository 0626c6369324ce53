//! A chain of layers of which only what goes into each link is kept, and which is computed again, link by link, for the
//! gradient (gradient checkpointing, Chen et al. 2016).

use core::fmt::Debug;

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Distribution, Tensor};

use anyref_data::scenes::mix;

/// Two states that go through a chain together.
pub type States<B> = [Tensor<B, 3>; 2];

/// What is computed link by link.
pub trait Chain<B: AutodiffBackend>: Debug {
    /// How many links there are.
    fn links(&self) -> usize;

    /// What one link makes of the states. Nothing else may go in, but for parameters and what is drawn at random.
    fn forward(&self, link: usize, states: States<B>) -> States<B>;

    /// The same with parameters that leave no graph.
    fn untracked(&self) -> Self
    where
        Self: Sized;
}

/// All tensors of before that are used after: what goes through a chain, and what goes past it. Any other, but for
/// parameters, would take the gradients that come through the chain with it: a backward pass leaves nothing of the graph
/// that it goes through.
#[derive(Debug, Clone)]
pub struct Entry<B: AutodiffBackend> {
    /// What goes through.
    pub states: States<B>,
    /// What goes past.
    pub past: Vec<Tensor<B, 3>>,
}

impl<B: AutodiffBackend> Entry<B> {
    /// The tensors in order.
    fn tensors(self) -> impl Iterator<Item = Tensor<B, 3>> {
        self.states.into_iter().chain(self.past)
    }
}

/// A chain that was run without a graph, and where it hangs in the graph around it.
#[derive(Debug)]
pub struct Segments<B: AutodiffBackend> {
    chain: Box<dyn Chain<B>>,
    /// What went in, in the graph of what came before.
    entry: Entry<B>,
    /// What went into each link.
    inputs: Vec<States<B::InnerBackend>>,
    /// What came out, leaves in the graph of what comes after.
    exit: Entry<B>,
    /// Seeds what the links draw, so that they draw the same again.
    seed: Option<u64>,
}

impl<B: AutodiffBackend> Segments<B> {
    /// Runs a chain; what comes out, and what went past, are leaves of a new graph. Where its links draw numbers at
    /// random, as dropout `draws`, no other thread may draw from the backend meanwhile, nor during
    /// [`backward`](Self::backward).
    pub fn run(entry: Entry<B>, chain: impl Chain<B> + 'static, draws: bool) -> (Self, Entry<B>) {
        let device = entry.states[0].device();
        let seed = draws.then(|| drawn_seed::<B>(&device));
        let mut states = entry.states.clone().map(Tensor::inner);
        let mut inputs = Vec::with_capacity(chain.links());
        let untracked = chain.untracked();
        for link in 0..chain.links() {
            inputs.push(states.clone());
            seed_link::<B>(seed, link, &device);
            let outputs = untracked.forward(link, states.map(Tensor::from_inner));
            states = outputs.map(Tensor::inner);
        }
        let past = entry.past.iter().cloned().map(Tensor::inner);
        let exit = Entry {
            states: states.map(leaf),
            past: past.map(leaf).collect(),
        };
        let segments = Self {
            chain: Box::new(chain),
            entry,
            inputs,
            exit: exit.clone(),
            seed,
        };
        (segments, exit)
    }

    /// Carries the gradients of what came after back through the chain and into what came before. `each` gets the
    /// gradients of every link's parameters, and of what came before, as soon as they are there.
    pub fn backward(self, after: &mut B::Gradients, mut each: impl FnMut(&mut B::Gradients)) {
        let device = self.entry.states[0].device();
        let Entry { states, past } = self.exit;
        let mut above = states.map(|leaf| leaf.grad_remove(after));
        let past: Vec<_> = past.iter().map(|leaf| leaf.grad_remove(after)).collect();
        for (link, inputs) in self.inputs.into_iter().enumerate().rev() {
            let inputs = inputs.map(leaf);
            seed_link::<B>(self.seed, link, &device);
            let outputs = self.chain.forward(link, inputs.clone());
            let outputs = outputs.into_iter().zip(above);
            let mut gradients = weighted(outputs, &device).backward();
            above = inputs.map(|leaf| leaf.grad_remove(&mut gradients));
            each(&mut gradients);
        }
        let gradients = above.into_iter().chain(past);
        each(&mut weighted(self.entry.tensors().zip(gradients), &device).backward());
    }
}

fn leaf<B: AutodiffBackend>(state: Tensor<B::InnerBackend, 3>) -> Tensor<B, 3> {
    Tensor::from_inner(state).require_grad()
}

/// A number whose gradient for each state is the one beside it; it has a graph even where no state has one.
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

fn seed_link<B: AutodiffBackend>(seed: Option<u64>, link: usize, device: &B::Device) {
    if let Some(seed) = seed {
        B::seed(device, mix(seed ^ link as u64));
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use burn::module::{AutodiffModule, Module};
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::backend::Backend;

    use super::*;

    type B = Autodiff<Flex>;

    /// The second state goes into the first. What links draw is tested by training, where nothing else draws.
    #[derive(Module, Debug)]
    struct Links<B: Backend> {
        linears: Vec<Linear<B>>,
    }

    impl Chain<B> for Links<B> {
        fn links(&self) -> usize {
            self.linears.len()
        }

        fn forward(&self, link: usize, [x, y]: States<B>) -> States<B> {
            let y = self.linears[link].forward(y).tanh();
            [x * y.clone().sin(), y]
        }

        fn untracked(&self) -> Self {
            self.clone().no_grad()
        }
    }

    #[test]
    fn gradients_are_those_of_the_whole_graph() {
        let device = Default::default();
        let linear = |_| LinearConfig::new(6, 6).init(&device);
        let links: Links<B> = Links {
            linears: (0..3).map(linear).collect(),
        };
        // Weights are drawn at their first use, by each clone for itself.
        let links = Links::<B>::from_inner(links.valid());
        let random = || Tensor::<B, 3>::random([2, 5, 6], Distribution::Default, &device);
        let (x, y) = (random().require_grad(), random().require_grad());
        let entry = || [x.clone() * 2.0, y.clone().exp()];
        let loss = |[x, y]: States<B>, past: Tensor<B, 3>| (x * past + y.powf_scalar(2.0)).sum();

        let states = entry();
        let past = vec![states[1].clone()];
        let (segments, exit) = Segments::run(Entry { states, past }, links.clone(), false);
        let value = loss(exit.states, exit.past[0].clone());
        let mut sums: Vec<Option<Tensor<Flex, 2>>> = vec![None; 5];
        let mut add = |gradients: &mut <B as AutodiffBackend>::Gradients| {
            let flat = |gradient: Tensor<Flex, 3>| gradient.flatten(0, 1);
            let weights = links.linears.iter().map(|l| l.weight.grad(gradients));
            let inputs = [&x, &y].map(|t| t.grad(gradients).map(flat));
            for (sum, gradient) in sums.iter_mut().zip(weights.chain(inputs)) {
                *sum = match (sum.take(), gradient) {
                    (Some(a), Some(b)) => Some(a + b),
                    (a, b) => a.or(b),
                };
            }
        };
        let mut after = value.clone().backward();
        segments.backward(&mut after, &mut add);

        let mut states = entry();
        let past = states[1].clone();
        for link in 0..3 {
            states = links.forward(link, states);
        }
        let expected = loss(states, past);
        assert_eq!(expected.clone().into_scalar(), value.into_scalar());
        let gradients = expected.backward();
        let weights = links.linears.iter().map(|l| l.weight.grad(&gradients));
        let inputs = [&x, &y].map(|t| t.grad(&gradients).map(|g| g.flatten(0, 1)));
        for (found, expected) in sums.into_iter().zip(weights.chain(inputs)) {
            let (found, expected) = (found.unwrap(), expected.unwrap());
            assert!(expected.clone().abs().max().into_scalar() > 1e-3);
            let apart = (found - expected).abs().max().into_scalar();
            assert!(apart < 1e-5, "{apart}");
        }
    }
}
