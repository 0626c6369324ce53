//! Gradients of a small language model's loss.

use anyref_llm::{Llama, LlamaConfig, LlamaInput};
use anyref_ops::testing::fill;
use anyref_ops::token_losses;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::{Autodiff, Flex};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Bool, Int, Tensor, TensorData};

/// Tokens that there are.
const VOCABULARY: usize = 256;

/// Rows of tokens and their length.
const ROWS: [usize; 2] = [2, 64];

/// A model with shared heads, sizes for which products need no padding, and rows of tokens, the
/// second of which is padded on the left.
pub struct Training<B: AutodiffBackend> {
    llama: Llama<B>,
    device: B::Device,
}

impl<B: AutodiffBackend> Training<B> {
    /// Creates the model, whose weights are equal on all backends.
    pub fn new() -> Self {
        // Few different shapes of products, which are tuned one by one.
        let config = LlamaConfig {
            vocab_size: VOCABULARY,
            hidden_size: 256,
            intermediate_size: 256,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: Some(2),
            ..LlamaConfig::tiny()
        };
        let device = B::Device::default();
        let llama = fill(config.init(&device), 5, 0.1);
        Self { llama, device }
    }

    /// Loss of predicting each token from those before it, and all gradients.
    pub fn step(&self) -> (Tensor<B, 1>, B::Gradients) {
        let [rows, length] = ROWS;
        let ids = (0..rows * length).map(|i| ((i * 37 + 5) % VOCABULARY) as i64);
        let ids = TensorData::new(ids.collect::<Vec<_>>(), ROWS);
        let ids = Tensor::<B, 2, Int>::from_data(ids, &self.device);
        let padding = (0..rows * length).map(|i| i >= length && i < length + 7);
        let padding = TensorData::new(padding.collect::<Vec<_>>(), ROWS);
        let padding = Tensor::<B, 2, Bool>::from_data(padding, &self.device);
        let input = LlamaInput::new(self.llama.embed(ids.clone())).with_padding(Some(padding));
        let hidden = self.llama.forward(input, None).hidden;
        let logits = self
            .llama
            .logits(hidden)
            .reshape([rows * length, VOCABULARY]);
        let loss = token_losses(logits, ids.reshape([rows * length])).mean();
        let gradients = loss.backward();
        (loss, gradients)
    }

    /// Loss and the gradient of each parameter.
    fn values(&self) -> (f64, Vec<Vec<f64>>) {
        let (loss, gradients) = self.step();
        let mut read = Gradients::<B> {
            gradients: &gradients,
            found: Vec::new(),
        };
        self.llama.visit(&mut read);
        let loss = loss.into_data().iter::<f64>().next().expect("a number");
        (loss, read.found)
    }
}

struct Gradients<'a, B: AutodiffBackend> {
    gradients: &'a B::Gradients,
    found: Vec<Vec<f64>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Gradients<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let gradient = param.val().grad(self.gradients).expect("a gradient");
        let gradient = gradient.into_data();
        self.found.push(gradient.iter::<f64>().collect());
    }
}

/// Asserts that loss and gradients are within a fraction of their largest value.
fn assert_equal(
    case: &str,
    found: &(f64, Vec<Vec<f64>>),
    expected: &(f64, Vec<Vec<f64>>),
    most: f64,
) {
    assert!(
        (found.0 - expected.0).abs() < most * expected.0.abs(),
        "{case}: {} {}",
        found.0,
        expected.0
    );
    assert_eq!(found.1.len(), expected.1.len());
    for (index, (found, expected)) in found.1.iter().zip(&expected.1).enumerate() {
        let largest = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        let apart = found.iter().zip(expected).map(|(x, y)| (x - y).abs());
        let apart = apart.fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a });
        println!(
            "{case}, parameter {index}: {:.1e} of {largest:.1e}",
            apart / largest
        );
        assert!(
            largest > 0.0 && apart < most * largest,
            "{case}, parameter {index}: {apart} of {largest}"
        );
    }
}

/// Gradients by kernels, by operations composed of burn's where the backend's type has no kernels,
/// and on the processor; with burn's balanced checkpointing and without.
pub fn a_training_step_has_the_gradients_of_the_processor<K: Backend, P: Backend>(most: f64) {
    fn of<B: Backend, C: CheckpointStrategy>() -> (f64, Vec<Vec<f64>>)
    where
        Autodiff<B, C>: AutodiffBackend,
    {
        Training::<Autodiff<B, C>>::new().values()
    }
    let expected = of::<Flex, NoCheckpointing>();
    assert_equal("kernels", &of::<K, NoCheckpointing>(), &expected, most);
    assert_equal(
        "kernels, balanced",
        &of::<K, BalancedCheckpointing>(),
        &expected,
        most,
    );
    assert_equal("composed", &of::<P, NoCheckpointing>(), &expected, most);
}
