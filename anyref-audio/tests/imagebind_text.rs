//! Text tower compared with torch's modules (`fixtures/export_text.py`).

mod common;

use anyref_audio::imagebind::import;
use anyref_audio::{ImageBindAudioConfig, ImageBindText, ImageBindTextConfig};
use anyref_weights::{Checkpoint, load_module};
use burn::module::Module;
use burn::tensor::{Distribution, Int, Tensor, TensorData, Tolerance};
use common::{Fixture, path, worst};

type TestBackend = burn_flex::Flex;

const CONTEXT: usize = 12;

/// Configuration of `text.safetensors`.
fn config() -> ImageBindTextConfig {
    ImageBindTextConfig::new()
        .with_hidden_size(24)
        .with_num_hidden_layers(2)
        .with_num_attention_heads(3)
        .with_vocab_size(40)
        .with_context_length(CONTEXT)
        .with_output_dim(20)
}

fn load(config: &ImageBindTextConfig) -> ImageBindText<TestBackend> {
    let checkpoint = Checkpoint::open(path("text.safetensors")).unwrap();
    let mut model = config.init(&Default::default());
    let options = import::text_load_options().with_prefix("model.");
    load_module(&mut model, &checkpoint, &options).unwrap();
    model
}

fn ids() -> Tensor<TestBackend, 2, Int> {
    let checkpoint = Checkpoint::open(path("text.safetensors")).unwrap();
    Tensor::from_data(
        checkpoint.require("ids").unwrap().read().unwrap(),
        &Default::default(),
    )
}

fn values<const D: usize>(tensor: Tensor<TestBackend, D>) -> Vec<f32> {
    tensor.into_data().to_vec().unwrap()
}

#[test]
fn embeddings_equal_torch() {
    let fixture = Fixture::open("text.safetensors");
    let embeddings = load(&config()).forward(ids());
    assert_eq!(embeddings.dims().to_vec(), fixture.shape("embeddings"));
    let error = worst(&values(embeddings), &fixture.f32s("embeddings"));
    println!("embeddings: {error:e}");
    assert!(error <= 1e-4, "{error}");
}

#[test]
fn the_checkpoints_scale_is_where_training_began() {
    let fixture = Fixture::open("text.safetensors");
    let log_scale = fixture.f32s(&format!("model.{}", import::TEXT_LOG_LOGIT_SCALE))[0];
    assert!((f64::from(log_scale).exp() - config().logit_scale).abs() < 1e-5);
}

#[test]
fn texts_may_be_cut_behind_their_end() {
    let model = load(&config());
    let whole = model.forward(ids());
    // The end of the third text is at 6.
    let cut = model.forward(ids().narrow(0, 0, 3).narrow(1, 0, 7));
    whole
        .narrow(0, 0, 3)
        .into_data()
        .assert_approx_eq::<f32>(&cut.into_data(), Tolerance::absolute(1e-4));
}

#[test]
fn another_token_is_another_embedding_and_what_follows_the_end_is_none() {
    let model = load(&config());
    let row = |ids: [i64; 6]| {
        let ids = TensorData::new(ids.to_vec(), [1, 6]);
        values(model.forward(Tensor::from_data(ids, &Default::default())))
    };
    let one = row([38, 5, 7, 39, 0, 0]);
    assert!(worst(&one, &row([38, 5, 8, 39, 0, 0])) > 0.1);
    assert!(worst(&one, &row([38, 7, 5, 39, 0, 0])) > 0.1);
    assert!(worst(&one, &row([38, 5, 7, 39, 9, 39])) < 1e-4);
}

#[test]
fn the_length_of_embeddings_is_bounded() {
    let length = |scale| {
        let model = load(&config().with_logit_scale(scale));
        let embedding = model.forward(ids().narrow(0, 1, 1));
        embedding.powf_scalar(2.0).sum().into_scalar().sqrt()
    };
    for (scale, expected) in [(20.0, 20.0), (99.0, 99.0), (150.0, 100.0)] {
        let found = length(scale);
        assert!((found - expected).abs() < 1e-3, "{scale}: {found}");
    }
}

#[test]
fn the_huge_tower_has_the_papers_parameters() {
    // Twenty-four blocks of 1024, embeddings of tokens and positions, head.
    let block = 12 * 1024 * 1024 + 13 * 1024;
    let tokens = 49_408 * 1024 + 77 * 1024;
    let head = 2 * 1024 + 1024 * 1024;
    let model = ImageBindTextConfig::new().init::<TestBackend>(&Default::default());
    assert_eq!(model.num_params(), 24 * block + tokens + head);
}

#[test]
fn a_checkpoint_that_does_not_fit_is_an_error() {
    let checkpoint = Checkpoint::open(path("text.safetensors")).unwrap();
    let options = import::text_load_options().with_prefix("model.");
    let refused = |config: ImageBindTextConfig| {
        let mut model = config.init::<TestBackend>(&Default::default());
        load_module(&mut model, &checkpoint, &options)
            .unwrap_err()
            .to_string()
    };
    let deeper = refused(config().with_num_hidden_layers(3));
    assert!(deeper.contains("trunk.blocks.2.attn.in_proj"), "{deeper}");
    refused(config().with_num_hidden_layers(1));
    refused(config().with_vocab_size(41));
}

#[test]
fn a_sound_is_the_mean_of_its_clips() {
    let device = Default::default();
    let model = ImageBindAudioConfig::tiny().init::<TestBackend>(&device);
    let noise = Tensor::random([2, 3, 1, 128, 204], Distribution::Default, &device);
    let clips = values(model.forward(noise.clone()));
    let sounds = values(model.embed_sounds(noise));
    assert_eq!(sounds.len(), 2 * 32);
    for (at, sound) in sounds.iter().enumerate() {
        let (row, column) = (at / 32, at % 32);
        let mean: f32 = (0..3)
            .map(|clip| clips[(row * 3 + clip) * 32 + column] / 3.0)
            .sum();
        assert!((sound - mean).abs() < 1e-4, "{sound} {mean}");
    }
}

#[test]
#[should_panic(expected = "13 tokens do not fit")]
fn a_text_longer_than_the_context_is_refused() {
    let ids = Tensor::zeros([1, CONTEXT + 1], &Default::default());
    load(&config()).forward(ids);
}
