//! Models, tensors and callbacks that the tests share.

use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyref_llm::{Llama, LlamaConfig, LlamaInput, import};
use anyref_ops::testing::fill;
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, load_module};
use burn::backend::Autodiff;
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Int, Tensor, TensorData};

pub type TestBackend = burn_flex::Flex;
pub type TestAutodiff = Autodiff<TestBackend>;

pub fn fixture(name: &str) -> (LlamaConfig, Fixture) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let fixture = Fixture::open(format!("{folder}/{name}.safetensors"));
    let config = &fixture.checkpoint().metadata()["config"];
    (LlamaConfig::from_json(config).unwrap(), fixture)
}

/// Rename rules of all fixtures' tensors, where only weights may be unused.
pub fn options() -> LoadOptions {
    LoadOptions::default()
        .with_renames(import::LLAMA)
        .with_renames(import::PEFT)
        .with_allow_unused(r"^(ids|padding|expected\..*|gradient\..*)$")
}

pub fn load<B: Backend>(name: &str) -> (Llama<B>, Fixture) {
    let (config, fixture) = fixture(name);
    let mut model = config.init::<B>(&Default::default());
    load_module(&mut model, fixture.checkpoint(), &options()).unwrap();
    (model, fixture)
}

/// Model of random weights, large enough for attention to matter.
pub fn random_model<B: Backend>(config: &LlamaConfig) -> Llama<B> {
    fill(config.init::<B>(&Default::default()), 7, 0.3)
}

pub fn ids<B: Backend>(rows: &[&[i64]]) -> Tensor<B, 2, Int> {
    let values = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
    Tensor::from_data(values, &Default::default())
}

pub fn mask<B: Backend>(rows: &[&[u8]]) -> Tensor<B, 2, Bool> {
    let values = rows
        .concat()
        .into_iter()
        .map(|padded| padded != 0)
        .collect::<Vec<_>>();
    let values = TensorData::new(values, [rows.len(), rows[0].len()]);
    Tensor::from_data(values, &Default::default())
}

/// Last hidden states of tokens without cache or padding.
pub fn hidden<B: Backend>(model: &Llama<B>, rows: &[&[i64]]) -> Tensor<B, 3> {
    model
        .forward(LlamaInput::new(model.embed(ids(rows))), None)
        .hidden
}

/// Callback that never stops.
pub fn go_on(_row: usize, _token: u32) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Result of a future, polled by a single-threaded executor.
pub fn polled<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}
