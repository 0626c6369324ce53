//! SAM image encoder compared with segment-anything and transformers.

use anyref_ops::testing::{assert_close, fill, random};
use anyref_vision::import;
use anyref_vision::sam::{SamImageEncoder, SamVisionConfig};
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, Rename, load_module};
use burn::backend::Autodiff;
use burn::tensor::Tensor;

type TestBackend = burn_flex::Flex;

fn authors_config() -> SamVisionConfig {
    SamVisionConfig {
        hidden_size: 32,
        mlp_dim: 48,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        image_size: 48,
        patch_size: 6,
        output_channels: 12,
        // The grid of 8 is padded to 9.
        window_size: 3,
        global_attn_indexes: vec![1],
        ..SamVisionConfig::default()
    }
}

fn load(
    config: &SamVisionConfig,
    fixture: &Fixture,
    rename: &[Rename],
) -> SamImageEncoder<TestBackend> {
    let mut encoder = config.init(&Default::default());
    let mut allow_unused = vec!["^pixels".to_string(), "^output".to_string()];
    if !config.use_abs_pos {
        allow_unused.push("^pos_embed$".to_string());
    }
    let options = LoadOptions {
        allow_unused,
        ..LoadOptions::default()
    }
    .with_renames(rename);
    load_module(&mut encoder, fixture.checkpoint(), &options).unwrap();
    encoder
}

#[test]
fn equals_segment_anything() {
    let fixture = Fixture::open("tests/fixtures/sam.safetensors");
    let device = Default::default();
    let encoder = load(&authors_config(), &fixture, import::SAM_AUTHORS);
    let output = encoder.forward(fixture.tensor("pixels", &device));
    assert_close(&output, &fixture.tensor("output", &device), 1e-4);
}

#[test]
fn other_picture_sizes_equal_segment_anything() {
    let fixture = Fixture::open("tests/fixtures/sam.safetensors");
    let device = Default::default();
    let config = SamVisionConfig {
        use_abs_pos: false,
        ..authors_config()
    };
    let encoder = load(&config, &fixture, import::SAM_AUTHORS);
    for name in ["large", "wide", "small"] {
        let output = encoder.forward(fixture.tensor(&format!("pixels.{name}"), &device));
        assert_close(
            &output,
            &fixture.tensor(&format!("output.{name}"), &device),
            1e-4,
        );
    }
}

#[test]
fn equals_transformers() {
    let fixture = Fixture::open("tests/fixtures/sam_hugging_face.safetensors");
    let device = Default::default();
    let config = SamVisionConfig {
        hidden_size: 32,
        mlp_dim: 40,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        image_size: 60,
        patch_size: 12,
        output_channels: 12,
        window_size: 2,
        global_attn_indexes: vec![0],
        qkv_bias: false,
        ..SamVisionConfig::default()
    };
    let encoder = load(&config, &fixture, import::SAM_HUGGING_FACE);
    let output = encoder.forward(fixture.tensor("pixels", &device));
    assert_close(&output, &fixture.tensor("output", &device), 1e-4);
}

#[test]
fn windows_do_not_see_one_another() {
    let device = Default::default();
    // The neck's convolution reaches one patch beyond the windows of 4.
    let config = SamVisionConfig {
        window_size: 4,
        global_attn_indexes: vec![],
        ..SamVisionConfig::tiny()
    };
    let encoder = fill(config.init::<TestBackend>(&device), 1, 0.3);
    let pixels: Tensor<TestBackend, 4> = random([1, 3, 64, 64], 2, &device);
    let changed = pixels.clone().slice_fill([0..1, 0..3, 0..8, 0..8], 5.0);
    let difference = encoder.forward(pixels) - encoder.forward(changed);
    let far = difference
        .clone()
        .slice([0..1, 0..16, 5..8, 5..8])
        .abs()
        .max()
        .into_scalar();
    let near = difference
        .slice([0..1, 0..16, 0..4, 0..4])
        .abs()
        .max()
        .into_scalar();
    assert_eq!(far, 0.0);
    assert!(near > 1e-3);
}

#[test]
fn position_tables_get_the_gradient_of_finite_differences() {
    type Differentiable = Autodiff<TestBackend>;
    let device = Default::default();
    let config = SamVisionConfig {
        use_abs_pos: false,
        ..SamVisionConfig::tiny()
    };
    let encoder = fill(config.init::<Differentiable>(&device), 3, 0.3);
    let weight: Tensor<Differentiable, 4> = random([1, 16, 6, 6], 5, &device);
    // Smaller than the config's size, so that the position tables are resized.
    let pixels: Tensor<Differentiable, 4> = random([1, 3, 48, 48], 4, &device);
    let loss = |encoder: &SamImageEncoder<Differentiable>| {
        (encoder.forward(pixels.clone()) * weight.clone()).sum()
    };
    let gradients = loss(&encoder).backward();
    let attention = &encoder.layers[1].attn;
    let table = attention.rel_pos_w.as_ref().unwrap();
    let direction: Tensor<TestBackend, 2> = random(table.dims(), 6, &device);
    let slope = |gradient: Tensor<TestBackend, 2>, direction: Tensor<TestBackend, 2>| {
        (gradient * direction).sum().into_scalar()
    };
    let expected = slope(table.grad(&gradients).unwrap(), direction.clone());
    let step = 1e-2;
    let moved = |sign: f32| {
        let mut encoder = encoder.clone();
        let attention = &mut encoder.layers[1].attn;
        let table = attention.rel_pos_w.take().unwrap();
        let by = Tensor::from_inner(direction.clone() * (sign * step));
        attention.rel_pos_w = Some(table.map(|table| table + by));
        loss(&encoder).into_scalar()
    };
    let measured = (moved(1.0) - moved(-1.0)) / (2.0 * step);
    assert!(
        (measured - expected).abs() <= 0.02 * expected.abs().max(0.1),
        "{measured} {expected}"
    );

    // All three parts of the fused weight must receive a gradient through the slices.
    let qkv = encoder.layers[0].attn.qkv.weight.grad(&gradients).unwrap();
    for part in 0..3 {
        let part = qkv
            .clone()
            .narrow(1, part * 32, 32)
            .abs()
            .max()
            .into_scalar();
        assert!(part > 0.0);
    }
}

#[test]
#[should_panic(expected = "pad pictures to the config's image_size")]
fn absolute_positions_need_their_picture_size() {
    let device = Default::default();
    let encoder = SamVisionConfig::tiny().init::<TestBackend>(&device);
    encoder.forward(Tensor::zeros([1, 3, 48, 48], &device));
}

#[test]
#[should_panic(expected = "must be a multiple of num_attention_heads")]
fn heads_must_divide_the_width() {
    let config = SamVisionConfig {
        num_attention_heads: 5,
        ..SamVisionConfig::tiny()
    };
    config.init::<TestBackend>(&Default::default());
}
