//! Standalone SAM 2 compared with transformers: points, boxes and masks as prompts, in both
//! layouts.

use std::fs;
use std::path::Path;

use anyref_core::official::{Published, compare};
use anyref_core::{
    AnyRefConfig, AutomaticMaskConfig, EngineOptions, Error, MaskPrompt, ModelPlace, ModelSource,
    Multimask, Sam2Config, SamForm, SamModel, load_engine,
};
use anyref_weights::testing::Fixture;
use anyref_weights::{Checkpoint, OutputTensor, SaveOptions, write_checkpoint};
use burn::tensor::TensorData;

use crate::common::TestBackend;
use crate::parts::published;
use crate::sam_alone::{Asked, assert_close, assert_predicted, floats, prompts, structured};

/// Folders of one model, written by `export_sam2.py`.
const LAYOUTS: [&str; 2] = ["sam2", "sam2_authors"];

fn sam2(name: &str) -> SamModel<TestBackend> {
    SamModel::load(&published(name), &Default::default()).unwrap()
}

fn opened() -> Fixture {
    Fixture::open(published("sam2_alone.safetensors"))
}

/// Prompts of `export_sam2.py`.
fn asked(fixture: &Fixture) -> Vec<Asked> {
    let mut asked = prompts(fixture);
    asked.push(Asked {
        name: "other_point",
        prompt: MaskPrompt::default().with_point(70.5, 41.25, true),
    });
    asked
}

#[test]
fn prompts_are_answered_as_by_transformers_in_both_layouts() {
    let fixture = opened();
    for layout in LAYOUTS {
        let sam = sam2(layout);
        for (height, width) in [(57, 90), (200, 131)] {
            let picture = sam.picture(&structured(height, width)).unwrap();
            let embedding = picture.embedding().clone().into_data();
            let embedding: Vec<f32> = embedding.to_vec().unwrap();
            let key = format!("{height}.embedding");
            assert_close(&embedding, &floats(&fixture, &key), &key);
            for Asked { name, prompt } in asked(&fixture) {
                for (multimask, kind) in
                    [(Multimask::Always, "multi"), (Multimask::Never, "single")]
                {
                    let prompts = [prompt.clone()];
                    let answers = sam.predict(&picture, &prompts, multimask).unwrap();
                    let key = format!("{height}.{name}.{kind}");
                    assert_predicted(&fixture, &key, &answers[0]);
                }
            }
        }
    }
}

#[test]
fn several_prompts_are_answered_as_one_by_one() {
    let (sam, fixture) = (sam2("sam2"), opened());
    let picture = sam.picture(&structured(57, 90)).unwrap();
    let asked = asked(&fixture);
    let all: Vec<_> = asked.iter().map(|one| one.prompt.clone()).collect();
    let all = [all.clone(), all].concat();
    let answers = sam.predict(&picture, &all, Multimask::Never).unwrap();
    for (Asked { name, .. }, answer) in asked.iter().chain(&asked).zip(&answers) {
        assert_predicted(&fixture, &format!("57.{name}.single"), answer);
    }
}

#[test]
fn unstable_single_masks_give_way_as_the_config_says() {
    let fixture = opened();
    // The fixture covers both: a single mask with the estimate of the best of three, and one
    // without.
    let gave_way = |name: &str| {
        let estimates = |kind: &str| floats(&fixture, &format!("{name}.{kind}.estimates"));
        let best = estimates("multi").into_iter().fold(f32::MIN, f32::max);
        best == estimates("single")[0]
    };
    assert!(gave_way("57.point") != gave_way("200.point"));
    let sam = sam2("sam2");
    let SamForm::Sam2(parts) = &sam.form else {
        panic!("a SAM 2");
    };
    let stability = parts.mask_decoder.config().stability.as_ref().unwrap();
    assert_eq!(stability.delta, 0.05);
    // The published threshold differs.
    assert!((0.3..0.9).contains(&stability.thresh));
    let usual = Sam2Config::hiera_tiny().mask_decoder.stability.unwrap();
    assert_eq!((usual.delta, usual.thresh), (0.05, 0.98));
}

#[test]
fn automatic_masks_are_found_with_sam_2_s_defaults() {
    let sam = sam2("sam2");
    let defaults = sam.automatic_defaults();
    assert_eq!(
        defaults,
        AutomaticMaskConfig::new().with_pred_iou_thresh(0.8)
    );
    let image = structured(57, 90);
    let all = defaults
        .clone()
        .with_points_per_side(4)
        .with_pred_iou_thresh(0.0)
        .with_stability_score_thresh(0.0)
        .with_box_nms_thresh(1.0);
    let found = sam.automatic_masks(&image, &all).unwrap();
    // Three masks per point, except for empty ones and duplicates of a box.
    assert!((4..=48).contains(&found.len()), "{}", found.len());
    assert!(found.iter().all(|one| one.mask.rle.size() == [57, 90]));
    let options = EngineOptions::new(ModelSource::Path(published("sam2_authors")));
    let engine = load_engine(&options).unwrap();
    assert_eq!(engine.automatic_defaults(), defaults);
    assert_eq!(engine.info().model, "SAM 2");
    assert!(!engine.info().speaks());
    let parts: Vec<_> = engine.info().parts.iter().map(|part| part.name).collect();
    assert_eq!(parts, ["image_encoder", "prompt_encoder", "mask_decoder"]);
}

#[test]
fn a_sam_2_is_one_alone_and_no_part_of_another_model() {
    for layout in LAYOUTS {
        let published = Published::open(&published(layout)).unwrap();
        let reports = compare::<TestBackend>(&published, None, &Default::default()).unwrap();
        assert_eq!(reports.len(), 2, "{layout}");
        for (module, report) in reports {
            assert!(report.is_complete(), "{layout} {module}: {report}");
        }
        let tiny = AnyRefConfig::tiny();
        compare::<TestBackend>(&published, Some(&tiny), &Default::default()).unwrap_err();
        let place = ModelPlace::open(&published.path).unwrap();
        assert!(matches!(place, ModelPlace::Sam(_)), "{layout}");
    }
}

/// Copies the tiny folder with changes to its config and its tensors.
fn changed(
    folder: &Path,
    config: impl Fn(&str) -> String,
    tensors: impl FnOnce(&mut Vec<OutputTensor>),
) {
    let text = fs::read_to_string(published("sam2").join("config.json")).unwrap();
    fs::write(folder.join("config.json"), config(&text)).unwrap();
    let checkpoint = Checkpoint::open(published("sam2")).unwrap();
    let entries = checkpoint.tensors();
    let mut own: Vec<_> = entries
        .map(|entry| OutputTensor::from_entry(&entry.name, entry, None))
        .collect();
    tensors(&mut own);
    let path = folder.join("model.safetensors");
    write_checkpoint(&path, own, &SaveOptions::default()).unwrap();
}

fn extra(name: &str) -> OutputTensor {
    let values = || Ok(TensorData::new(vec![1.0_f32; 4], [4]));
    OutputTensor::new(name, burn::tensor::DType::F32, [4], values)
}

fn refused(folder: &Path) -> String {
    let loaded = SamModel::<TestBackend>::load(folder, &Default::default());
    let line = loaded.err().map(|error| error.to_string());
    line.expect("a refusal")
}

#[test]
fn parts_for_videos_go_unused_and_other_tensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    // The published folders are of the video model.
    let video =
        |text: &str| text.replace("\"model_type\": \"sam2\"", "\"model_type\": \"sam2_video\"");
    changed(folder.path(), video, |tensors| {
        tensors.extend([
            extra("memory_attention.layers.0.layer_norm1.weight"),
            extra("memory_temporal_positional_encoding"),
            extra("occlusion_spatial_embedding_parameter"),
            extra("object_pointer_proj.proj_in.bias"),
        ]);
    });
    SamModel::<TestBackend>::load(folder.path(), &Default::default()).unwrap();
    for name in [
        "memory_of_something",
        "mask_decoder.new_token.weight",
        "vision_encoder.extra",
    ] {
        changed(folder.path(), str::to_owned, |tensors| {
            tensors.push(extra(name))
        });
        let line = refused(folder.path());
        assert!(
            line.contains(name.rsplit("encoder.").next().unwrap()),
            "{line}"
        );
    }
    changed(folder.path(), str::to_owned, |tensors| {
        tensors.retain(|tensor| tensor.name != "no_memory_embedding");
    });
    assert!(refused(folder.path()).contains("no_memory_embedding"));
}

#[test]
fn configs_that_do_not_fit_are_refused_by_their_file() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, word) in [
        (
            "\"query_stride\": [",
            "\"query_stride\": [3,",
            "vision_config",
        ),
        (
            "\"num_query_pool_stages\": 3",
            "\"num_query_pool_stages\": 2",
            "num_query_pool_stages",
        ),
        (
            "\"num_feature_levels\": 3",
            "\"num_feature_levels\": 2",
            "num_feature_levels",
        ),
        ("\"mlp_ratio\": 2.0", "\"mlp_ratio\": 1e300", "mlp_ratio"),
        (
            "\"model_type\": \"sam2\"",
            "\"model_type\": \"edgetam\"",
            "model_type",
        ),
    ] {
        let change = |text: &str| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        };
        changed(folder.path(), change, |_| {});
        let line = refused(folder.path());
        assert!(line.contains(word) && !line.contains('\n'), "{line}");
    }
    // A lone file of an unpublished size does not determine its windows and heads.
    let line = refused(&published("sam2_authors/sam2_tiny.pt"));
    assert!(line.contains("config.json"), "{line}");
}

#[test]
fn sizes_are_valid_and_a_picture_is_held_once() {
    for config in [
        Sam2Config::tiny(),
        Sam2Config::hiera_tiny(),
        Sam2Config::hiera_small(),
        Sam2Config::hiera_base_plus(),
        Sam2Config::hiera_large(),
    ] {
        config.validate().unwrap();
    }
    let mut config = Sam2Config::tiny();
    config.mask_decoder.sam.transformer_dim *= 2;
    let error = config.validate().unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
    let picture = sam2("sam2").picture(&structured(30, 40)).unwrap();
    // 8 x 8 cells of 16, 16 x 16 of 4 and 32 x 32 of 2 channels.
    assert_eq!(picture.bytes(), 4 * (64 * 16 + 256 * 4 + 1024 * 2));
}
