//! SAM 2 image encoder and its preprocessing compared with transformers.

use anyref_ops::testing::{assert_close, fill, random};
use anyref_vision::import;
use anyref_vision::preprocess::{Filter, Sam2Preprocessor, resize};
use anyref_vision::sam2::{HieraConfig, Sam2ImageEncoder, Sam2VisionConfig};
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, Rename, load_module};
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use image::RgbImage;

type TestBackend = burn_flex::Flex;

fn loaded() -> (Sam2ImageEncoder<TestBackend>, Fixture) {
    let fixture = Fixture::open("tests/fixtures/sam2.safetensors");
    let mut encoder = Sam2VisionConfig::tiny().init(&Default::default());
    let options = LoadOptions::default()
        .with_renames(import::SAM2_HUGGING_FACE)
        .with_all_unused(&["^pixels", "^output"]);
    load_module(&mut encoder, fixture.checkpoint(), &options).unwrap();
    (encoder, fixture)
}

#[test]
fn levels_equal_transformers() {
    let (encoder, fixture) = loaded();
    let device = Default::default();
    let features = encoder.forward(fixture.tensor("pixels", &device));
    for (number, level) in features.high_resolution.into_iter().enumerate() {
        let expected = fixture.tensor::<TestBackend, 4>(&format!("output.{number}"), &device);
        assert_close(&level.permute([0, 3, 1, 2]), &expected, 1e-4);
    }
    let memory: Tensor<TestBackend, 3> = fixture.tensor("no_memory_embedding", &device);
    let coarse: Tensor<TestBackend, 4> = fixture.tensor("output.2", &device);
    let expected = coarse + memory.reshape([1, 16, 1, 1]);
    assert_close(&features.image_embeddings, &expected, 1e-4);
}

#[test]
fn pictures_of_a_batch_do_not_see_one_another() {
    let (encoder, fixture) = loaded();
    let pixels: Tensor<TestBackend, 4> = fixture.tensor("pixels", &Default::default());
    let both = encoder.forward(pixels.clone());
    let second = encoder.forward(pixels.narrow(0, 1, 1));
    let part = both.image_embeddings.narrow(0, 1, 1);
    assert_close(&part, &second.image_embeddings, 1e-4);
}

#[test]
fn every_parameter_gets_a_gradient() {
    type Differentiable = Autodiff<TestBackend>;
    let device = Default::default();
    let encoder = fill(
        Sam2VisionConfig::tiny().init::<Differentiable>(&device),
        1,
        0.3,
    );
    let pixels: Tensor<Differentiable, 4> = random([1, 3, 128, 128], 2, &device);
    let features = encoder.forward(pixels);
    let [finest, finer] = features.high_resolution;
    let loss = finest.powi_scalar(2).sum()
        + finer.powi_scalar(2).sum()
        + features.image_embeddings.powi_scalar(2).sum();
    let gradients = loss.backward();
    let trunk = &encoder.backbone;
    assert!(trunk.pos_embed.grad(&gradients).is_some());
    assert!(trunk.pos_embed_window.grad(&gradients).is_some());
    for block in &trunk.blocks {
        assert!(block.attn.qkv.weight.grad(&gradients).is_some());
        assert!(block.layer_norm1.gamma.grad(&gradients).is_some());
        if let Some(proj) = &block.proj {
            assert!(proj.weight.grad(&gradients).is_some());
        }
    }
    for conv in &encoder.neck.convs {
        assert!(conv.weight.grad(&gradients).is_some());
    }
    assert!(encoder.no_memory_embedding.grad(&gradients).is_some());
}

#[test]
fn pictures_fill_the_square_as_by_transformers() {
    let fixture = Fixture::open("tests/fixtures/sam2_preprocess.safetensors");
    let preprocessor = Sam2Preprocessor::new(40);
    let bytes = |data: &TensorData| data.to_vec::<u8>().unwrap();
    for (height, width) in [(30, 50), (100, 37), (40, 40), (9, 200)] {
        let name = format!("{height}x{width}");
        let source = bytes(&fixture.data(&format!("image.{name}")));
        let source = RgbImage::from_raw(width, height, source).unwrap();
        let result = preprocessor.process(&source);
        assert_eq!(result.resized_size, [40, 40]);
        assert_eq!(result.original_size, [height as usize, width as usize]);
        let expected = fixture.data(&format!("pixels.{name}"));
        let expected: Vec<f32> = expected.to_vec().unwrap();
        // Both round to bytes, but not always to the same one.
        let step = 1.01 / (255.0 * 0.224);
        for (ours, theirs) in result.pixels.data.iter().zip(&expected) {
            assert!((ours - theirs).abs() <= step, "{name}: {ours} {theirs}");
        }
        // SAM 2's own predictor does not round; Pillow rounds twice, along each axis.
        let exact: Vec<f32> = fixture.data(&format!("float.{name}")).to_vec().unwrap();
        let bytes_of = |channel: usize| result.pixels.data[channel * 1600..][..1600].iter();
        for channel in 0..3 {
            let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
            for (value, exact) in bytes_of(channel).zip(&exact[channel * 1600..]) {
                let byte = (value * deviation[channel] + mean[channel]) * 255.0;
                assert!((byte - exact).abs() <= 1.01, "{name}: {byte} {exact}");
            }
        }
        let cubic = resize(&source, 40, 40, Filter::Bicubic);
        let expected = bytes(&fixture.data(&format!("bicubic.{name}")));
        assert_eq!(cubic.as_raw(), &expected, "{name}");
        let cubic = preprocessor.with_filter(Filter::Bicubic).process(&source);
        assert_eq!(cubic.pixels.shape, [3, 40, 40]);
    }
}

#[test]
fn published_names_reach_the_fields() {
    let rename = |rules: &[Rename], name: &str| {
        rules.iter().fold(name.to_owned(), |name, (from, to)| {
            let rule = regex::Regex::new(from).unwrap();
            rule.replace_all(&name, *to).into_owned()
        })
    };
    for (from, to) in [
        (
            "model.image_encoder.trunk.pos_embed_window",
            "backbone.pos_embed_window",
        ),
        (
            "image_encoder.trunk.patch_embed.proj.bias",
            "backbone.patch_embed.projection.bias",
        ),
        (
            "image_encoder.trunk.blocks.3.norm2.weight",
            "backbone.blocks.3.layer_norm2.weight",
        ),
        (
            "image_encoder.trunk.blocks.3.proj.weight",
            "backbone.blocks.3.proj.weight",
        ),
        (
            "image_encoder.trunk.blocks.12.attn.proj.bias",
            "backbone.blocks.12.attn.proj.bias",
        ),
        (
            "model.image_encoder.trunk.blocks.0.mlp.layers.1.bias",
            "backbone.blocks.0.mlp.proj_out.bias",
        ),
        (
            "model.image_encoder.neck.convs.2.conv.weight",
            "neck.convs.2.weight",
        ),
        ("model.no_mem_embed", "no_memory_embedding"),
        ("model.no_mem_pos_enc", "model.no_mem_pos_enc"),
    ] {
        assert_eq!(rename(import::SAM2_AUTHORS, from), to);
    }
}

#[test]
fn published_sizes_are_valid_and_others_refused() {
    for (name, config) in Sam2VisionConfig::published() {
        config
            .validate()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.grid_size(), 64, "{name}");
    }
    let tiny = Sam2VisionConfig::tiny;
    tiny().validate().unwrap();
    let trunk = |change: fn(&mut HieraConfig)| {
        let mut config = tiny();
        change(&mut config.backbone_config);
        config
    };
    for (config, field) in [
        (
            trunk(|trunk| trunk.blocks_per_stage = vec![1]),
            "embed_dim_per_stage",
        ),
        (
            trunk(|trunk| trunk.blocks_per_stage = vec![]),
            "embed_dim_per_stage",
        ),
        (
            trunk(|trunk| trunk.blocks_per_stage[2] = usize::MAX),
            "blocks_per_stage",
        ),
        (
            trunk(|trunk| trunk.window_size_per_stage[1] = 0),
            "window_size_per_stage",
        ),
        (
            trunk(|trunk| trunk.window_size_per_stage[1] = 5),
            "window_size_per_stage",
        ),
        (
            trunk(|trunk| trunk.num_attention_heads_per_stage[3] = 7),
            "embed_dim_per_stage",
        ),
        (
            trunk(|trunk| trunk.global_attention_blocks = vec![70]),
            "global_attention_blocks",
        ),
        (trunk(|trunk| trunk.query_stride = [3, 3]), "query_stride"),
        (trunk(|trunk| trunk.patch_stride = [0, 0]), "patch_stride"),
        (trunk(|trunk| trunk.patch_padding = [3, 0]), "patch_padding"),
        (trunk(|trunk| trunk.mlp_ratio = f64::NAN), "mlp_ratio"),
        (
            Sam2VisionConfig {
                image_size: 100,
                ..tiny()
            },
            "image_size",
        ),
        (
            Sam2VisionConfig {
                num_feature_levels: 4,
                ..tiny()
            },
            "num_feature_levels",
        ),
        (
            Sam2VisionConfig {
                fpn_kernel_size: 3,
                ..tiny()
            },
            "fpn_kernel_size",
        ),
        (
            Sam2VisionConfig {
                backbone_channel_list: vec![1; 4],
                ..tiny()
            },
            "backbone_channel_list",
        ),
    ] {
        let line = config.validate().unwrap_err().to_string();
        assert!(line.contains(field), "{line}");
    }
}
