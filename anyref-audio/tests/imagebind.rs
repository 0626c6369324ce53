//! Encoder compared with torch's modules, and its gradients.

mod common;

use anyref_audio::imagebind::import;
use anyref_audio::{ImageBindAudio, ImageBindAudioConfig};
use anyref_weights::{Checkpoint, load_module};
use burn::backend::Autodiff;
use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, Tensor, TensorData, Tolerance};
use common::{Fixture, path, worst};

type TestBackend = burn_flex::Flex;

/// Configuration of `trunk.safetensors`.
fn config() -> ImageBindAudioConfig {
    ImageBindAudioConfig::new()
        .with_hidden_size(24)
        .with_num_hidden_layers(2)
        .with_num_attention_heads(3)
        .with_num_mel_bins(46)
        .with_target_length(66)
        .with_output_dim(20)
}

fn load<B: Backend>(device: &B::Device) -> ImageBindAudio<B> {
    let checkpoint = Checkpoint::open(path("trunk.safetensors")).unwrap();
    let mut model = config().init::<B>(device);
    let options = import::load_options().with_prefix("model.");
    load_module(&mut model, &checkpoint, &options).unwrap();
    model
}

fn clips<B: Backend>(fixture: &Fixture, device: &B::Device) -> Tensor<B, 5> {
    Tensor::from_data(
        TensorData::new(fixture.f32s("clips"), fixture.shape("clips")),
        device,
    )
}

#[test]
fn embeddings_equal_torch() {
    let device = Default::default();
    let fixture = Fixture::open("trunk.safetensors");
    let embeddings = load::<TestBackend>(&device).forward(clips(&fixture, &device));
    assert_eq!(embeddings.dims().to_vec(), fixture.shape("embeddings"));
    let ours = embeddings.into_data().to_vec::<f32>().unwrap();
    let error = worst(&ours, &fixture.f32s("embeddings"));
    println!("embeddings: {error:e}");
    assert!(error <= 1e-4, "{error}");
}

#[test]
fn the_checkpoints_scale_is_the_configured_one() {
    let fixture = Fixture::open("trunk.safetensors");
    let log_scale = fixture.f32s(&format!("model.{}", import::LOG_LOGIT_SCALE))[0];
    assert!((f64::from(log_scale).exp() - config().logit_scale).abs() < 1e-5);
}

#[test]
fn clips_do_not_see_one_another() {
    let device = Default::default();
    let fixture = Fixture::open("trunk.safetensors");
    let model = load::<TestBackend>(&device);
    let clips = clips::<TestBackend>(&fixture, &device);
    let whole = model.forward(clips.clone());
    let alone = model.forward(clips.narrow(0, 1, 1).narrow(1, 2, 1));
    whole
        .narrow(0, 1, 1)
        .narrow(1, 2, 1)
        .into_data()
        .assert_approx_eq::<f32>(&alone.into_data(), Tolerance::absolute(1e-4));
}

#[test]
fn embeddings_have_the_configured_length() {
    let device = Default::default();
    let model = ImageBindAudioConfig::tiny().init::<TestBackend>(&device);
    let noise = Tensor::random([1, 3, 1, 128, 204], Distribution::Default, &device);
    let embeddings = model.forward(noise);
    assert_eq!(embeddings.dims(), [1, 3, 32]);
    for clip in embeddings.iter_dim(1) {
        let length = clip.powf_scalar(2.0).sum().into_scalar().sqrt();
        assert!((length - 20.0).abs() < 1e-3, "{length}");
    }
}

#[test]
fn the_huge_model_has_the_papers_tokens_and_parameters() {
    let config = ImageBindAudioConfig::new();
    assert_eq!(config.grid_size(), [12, 19]);
    assert_eq!(config.num_patches() + 1, 229);
    // Twelve blocks of 768 (with bias_k and bias_v), stem, positions, head.
    let block = 12 * 768 * 768 + 13 * 768 + 2 * 768;
    let stem = 256 * 768 + 2 * 768 + 768 + 229 * 768;
    let head = 2 * 768 + 768 * 1024;
    let model = config.init::<TestBackend>(&Default::default());
    assert_eq!(model.num_params(), 12 * block + stem + head);
}

#[test]
fn every_parameter_gets_a_gradient() {
    type TestAutodiff = Autodiff<TestBackend>;
    let device = Default::default();
    let fixture = Fixture::open("trunk.safetensors");
    let model = load::<TestAutodiff>(&device);
    let embeddings = model.forward(clips(&fixture, &device));
    let weights = Tensor::random(embeddings.shape(), Distribution::Default, &device);
    let gradients = (embeddings * weights).sum().backward();
    for block in &model.trunk.blocks {
        let bias_k = block
            .attn
            .bias_k
            .as_ref()
            .unwrap()
            .grad(&gradients)
            .unwrap()
            .abs()
            .max()
            .into_scalar();
        let bias_v = block
            .attn
            .bias_v
            .as_ref()
            .unwrap()
            .grad(&gradients)
            .unwrap()
            .abs()
            .max()
            .into_scalar();
        let fused = block.attn.in_proj_weight.grad(&gradients).unwrap();
        assert!(bias_k > 0.0 && bias_v > 0.0);
        for part in fused.chunk(3, 0) {
            assert!(part.abs().max().into_scalar() > 0.0);
        }
    }
    let tokens = &model.preprocessor;
    assert!(tokens.cls_token.grad(&gradients).is_some());
    assert!(tokens.rgbt_stem.proj.weight.grad(&gradients).is_some());
    assert!(
        tokens
            .pos_embedding_helper
            .pos_embed
            .grad(&gradients)
            .is_some()
    );
    assert!(model.head.proj.weight.grad(&gradients).is_some());
}

#[test]
fn a_missing_tensor_is_an_error() {
    let checkpoint = Checkpoint::open(path("trunk.safetensors")).unwrap();
    let options = import::load_options().with_prefix("model.");
    let mut deeper = config()
        .with_num_hidden_layers(3)
        .init::<TestBackend>(&Default::default());
    let error = load_module(&mut deeper, &checkpoint, &options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("trunk.blocks.2.attn.bias_k"), "{error}");
    let mut shallower = config()
        .with_num_hidden_layers(1)
        .init::<TestBackend>(&Default::default());
    assert!(load_module(&mut shallower, &checkpoint, &options).is_err());
}

#[test]
#[should_panic(expected = "does not fit")]
fn a_spectrogram_smaller_than_a_patch_is_impossible() {
    ImageBindAudioConfig::new()
        .with_target_length(8)
        .init::<TestBackend>(&Default::default());
}
