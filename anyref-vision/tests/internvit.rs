//! InternViT, pixel shuffle, projector and tiles compared with transformers' InternVL and Pillow.

use anyref_ops::testing::{assert_close, max_abs_difference};
use anyref_vision::import;
use anyref_vision::internvit::{
    InternVisionConfig, InternVisionModel, InternVlProjector, InternVlProjectorConfig, NormType,
    PixelShuffle, PixelShuffleVersion, pixel_shuffle,
};
use anyref_vision::preprocess::{Filter, PixelValues, Sam2Preprocessor, TilePreprocessor};
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, load_module};
use burn::tensor::{Tensor, TensorData};
use image::RgbImage;

type TestBackend = burn_flex::Flex;

const SHAPES: usize = 12;

fn config() -> InternVisionConfig {
    InternVisionConfig {
        num_hidden_layers: 3,
        image_size: 24,
        ..InternVisionConfig::tiny()
    }
}

fn fixture(name: &str) -> Fixture {
    Fixture::open(format!("tests/fixtures/{name}.safetensors"))
}

fn tower(fixture: &Fixture) -> InternVisionModel<TestBackend> {
    let mut model = config().init(&Default::default());
    let options = LoadOptions::default()
        .with_renames(import::INTERN_VIT)
        .with_all_unused(&["^mlp1", "pixels", "expected"]);
    load_module(&mut model, fixture.checkpoint(), &options).unwrap();
    model
}

fn projector(fixture: &Fixture, version: PixelShuffleVersion) -> InternVlProjector<TestBackend> {
    let shuffle = PixelShuffle {
        ps_version: version,
        ..PixelShuffle::default()
    };
    let config = InternVlProjectorConfig {
        input_size: 32,
        output_size: 20,
        grid_size: 6,
        shuffle,
    };
    assert_eq!(config.tokens().unwrap(), 9);
    let mut model = config.init(&Default::default()).unwrap();
    let options = LoadOptions::default()
        .with_renames(import::INTERN_VL_PROJECTOR)
        .with_all_unused(&["^vision_model", "pixels", "expected"]);
    load_module(&mut model, fixture.checkpoint(), &options).unwrap();
    model
}

#[test]
fn layers_equal_transformers() {
    let fixture = fixture("internvit");
    let device = Default::default();
    let model = tower(&fixture);
    let pixels: Tensor<TestBackend, 4> = fixture.tensor("pixels", &device);
    let expected = |layer: usize| fixture.tensor(&format!("expected.layer.{layer}"), &device);
    let last: Tensor<TestBackend, 3> = model.forward(pixels.clone());
    assert_close(&last, &expected(3), 1e-4);
    for (select, layer) in [(-1, 3), (3, 3), (-2, 2), (1, 1)] {
        let features = model.features(pixels.clone(), select);
        assert_eq!(features.dims(), [2, config().num_patches(), 32]);
        let expected: Tensor<TestBackend, 3> = expected(layer);
        assert_close(&features, &expected.narrow(1, 1, 36), 1e-4);
    }
}

#[test]
fn tokens_equal_transformers_in_both_orders() {
    let fixture = fixture("internvit");
    let device = Default::default();
    let model = tower(&fixture);
    let features = model.features(fixture.tensor("pixels", &device), -1);
    for (name, version) in [
        ("v1", PixelShuffleVersion::V1),
        ("v2", PixelShuffleVersion::V2),
    ] {
        let shuffled = pixel_shuffle(features.clone(), 2, version);
        let expected = fixture.tensor(&format!("expected.shuffle.{name}"), &device);
        assert_close(&shuffled, &expected, 1e-4);
        let tokens = projector(&fixture, version).forward(features.clone());
        let expected = fixture.tensor(&format!("expected.tokens.{name}"), &device);
        assert_close(&tokens, &expected, 1e-4);
    }
}

#[test]
fn tiles_of_a_batch_do_not_mix() {
    let fixture = fixture("internvit");
    let device = Default::default();
    let model = tower(&fixture);
    let pixels: Tensor<TestBackend, 4> = fixture.tensor("pixels", &device);
    let together = model.features(pixels.clone(), -1);
    for index in 0..2 {
        let alone = model.features(pixels.clone().narrow(0, index, 1), -1);
        assert_close(&alone, &together.clone().narrow(0, index, 1), 1e-5);
    }
}

fn picture(data: &TensorData) -> RgbImage {
    let (height, width) = (data.shape[0] as u32, data.shape[1] as u32);
    RgbImage::from_raw(width, height, data.to_vec::<u8>().unwrap()).unwrap()
}

fn difference(pixels: &PixelValues, expected: &TensorData) -> f64 {
    max_abs_difference(
        &TensorData::new(pixels.data.clone(), pixels.shape),
        expected,
    )
}

#[test]
fn tiles_of_twelve_shapes_equal_pillow_to_the_bit() {
    let fixture = fixture("tiles");
    let preprocessor = TilePreprocessor::new(16, 12).unwrap();
    let mut counts = Vec::new();
    for index in 0..SHAPES {
        let source = picture(&fixture.data(&format!("{index}.picture")));
        let tiles = preprocessor.tiles(&source);
        let expected = fixture.data(&format!("{index}.tiles"));
        assert_eq!(tiles.len(), expected.shape[0], "{index}");
        counts.push(tiles.len());
        let bytes: Vec<u8> = tiles
            .iter()
            .flat_map(|tile| tile.as_raw().clone())
            .collect();
        assert_eq!(bytes, expected.to_vec::<u8>().unwrap(), "{index}");

        let pixels = preprocessor.process(&source);
        let last = &fixture.data(&format!("{index}.last"));
        assert!(difference(pixels.last().unwrap(), last) <= 1e-5, "{index}");
        let square = Sam2Preprocessor::new(10).with_filter(Filter::Bicubic);
        let square = square.process(&source).pixels;
        let expected = fixture.data(&format!("{index}.square"));
        assert!(difference(&square, &expected) <= 1e-5, "{index}");
        let without = preprocessor.with_thumbnail(false).tiles(&source);
        assert_eq!(without.len(), (tiles.len() - 1).max(1));
    }
    assert!(counts.contains(&1) && counts.contains(&13), "{counts:?}");
}

#[test]
fn grids_equal_transformers() {
    let fixture = fixture("tiles");
    for most in [1, 6, 12] {
        let preprocessor = TilePreprocessor::new(448, most).unwrap();
        let grids: Vec<i64> = fixture.data(&format!("grids.{most}")).iter().collect();
        for grid in grids.chunks_exact(4) {
            let [columns, rows] = preprocessor.grid(grid[0] as u32, grid[1] as u32);
            assert_eq!([columns as i64, rows as i64], grid[2..], "{grid:?}");
        }
    }
}

#[test]
fn absurd_configurations_are_refused() {
    for (max_tiles, side) in [(0, 448), (257, 448), (usize::MAX, 448), (12, 0)] {
        let error = TilePreprocessor::new(side, max_tiles).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    for (ratio, grid) in [
        (0.5, 5),
        (0.7, 32),
        (0.0, 32),
        (-1.0, 32),
        (f64::NAN, 32),
        (1e-300, 32),
    ] {
        let shuffle = PixelShuffle {
            downsample_ratio: ratio,
            ..PixelShuffle::default()
        };
        let error = shuffle.factor(grid).unwrap_err().to_string();
        assert!(error.contains("downsample_ratio"), "{error}");
    }
    let refused = |change: fn(&mut InternVisionConfig), field: &str| {
        let mut config = InternVisionConfig::tiny();
        change(&mut config);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    };
    refused(|config| config.norm_type = NormType::RmsNorm, "norm_type");
    refused(|config| config.qk_normalization = true, "qk_normalization");
    refused(|config| config.hidden_act = "relu".into(), "hidden_act");
    refused(|config| config.num_attention_heads = 5, "hidden_size");
    refused(|config| config.patch_size = 99, "patch_size");
    InternVisionConfig::vit_300m().validate().unwrap();
}

#[test]
fn reads_the_vision_config_of_internvl() {
    let config: InternVisionConfig = serde_json::from_str(
        r#"{"architectures": ["InternVisionModel"], "model_type": "intern_vit_6b", "hidden_size": 1024,
            "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24,
            "norm_type": "layer_norm", "qk_normalization": false, "qkv_bias": true,
            "image_size": 448, "patch_size": 14, "use_flash_attn": true, "drop_path_rate": 0.1}"#,
    )
    .unwrap();
    assert_eq!(config, InternVisionConfig::vit_300m());
    let shuffle: PixelShuffle =
        serde_json::from_str(r#"{"downsample_ratio": 0.5, "ps_version": "v2"}"#).unwrap();
    assert_eq!(shuffle.ps_version, PixelShuffleVersion::V2);
    assert_eq!(shuffle.factor(config.grid_size()).unwrap(), 2);
}
