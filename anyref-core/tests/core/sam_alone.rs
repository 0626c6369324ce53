//! Standalone SAM compared with segment-anything: points, boxes and masks as prompts.

use std::path::PathBuf;

use anyref_core::{
    Error, LowResMask, MaskPrediction, MaskPrompt, ModelPlace, Multimask, SamConfig, SamModel,
    SamPicture,
};
use anyref_weights::testing::Fixture;
use image::{Rgb, RgbImage};

use crate::common::TestBackend;
use crate::parts::published;

const TOLERANCE: f32 = 1e-4;

/// Weights written by `export_sam.py`.
pub fn weights() -> PathBuf {
    published("sam_alone.pth")
}

pub fn sam() -> SamModel<TestBackend> {
    SamModel::load(&weights(), &Default::default()).unwrap()
}

/// Picture of `export_sam.py`.
pub fn structured(height: u32, width: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (
            i64::from(x) - i64::from(width / 2),
            i64::from(y) - i64::from(height / 2),
        );
        let radius = i64::from(height / 4);
        let inside = dx * dx + dy * dy < radius * radius;
        let red = if inside { 220 } else { 3 * x % 256 };
        Rgb([red as u8, (5 * y % 256) as u8, (x * y % 256) as u8])
    })
}

pub struct Asked {
    pub name: &'static str,
    pub prompt: MaskPrompt,
}

/// Prompts of `export_sam.py`.
pub fn prompts(fixture: &Fixture) -> Vec<Asked> {
    let earlier = LowResMask::new(floats(fixture, "earlier"));
    let point = || MaskPrompt::default().with_point(30.0, 20.0, true);
    let region = [10.0, 5.5, 60.0, 44.0];
    let asked = |name, prompt| Asked { name, prompt };
    vec![
        asked("point", point()),
        asked(
            "points",
            point()
                .with_point(70.5, 41.25, false)
                .with_point(3.0, 50.0, true),
        ),
        asked("box", MaskPrompt::default().with_region(region)),
        asked(
            "point_box",
            MaskPrompt::default()
                .with_point(30.0, 20.0, false)
                .with_region(region),
        ),
        asked("mask", point().with_mask(earlier.clone())),
        asked(
            "box_mask",
            MaskPrompt::default()
                .with_region(region)
                .with_mask(earlier.clone()),
        ),
        asked("mask_alone", MaskPrompt::default().with_mask(earlier)),
    ]
}

pub fn floats(fixture: &Fixture, name: &str) -> Vec<f32> {
    fixture.data(name).convert::<f32>().to_vec().unwrap()
}

pub fn assert_close(ours: &[f32], theirs: &[f32], name: &str) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let error = ours
        .iter()
        .zip(theirs)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(error <= TOLERANCE, "{name}: {error}");
}

pub fn assert_predicted(fixture: &Fixture, key: &str, prediction: &MaskPrediction) {
    let low: Vec<f32> = prediction
        .candidates
        .iter()
        .flat_map(|candidate| candidate.low_res.logits())
        .copied()
        .collect();
    assert_close(&low, &floats(fixture, &format!("{key}.low")), key);
    let estimates: Vec<f32> = prediction
        .candidates
        .iter()
        .map(|one| one.estimate)
        .collect();
    assert_close(
        &estimates,
        &floats(fixture, &format!("{key}.estimates")),
        key,
    );
    if fixture.checkpoint().get(&format!("{key}.logits")).is_none() {
        return;
    }
    let logits = floats(fixture, &format!("{key}.logits"));
    let masks = logits.chunks_exact(logits.len() / prediction.candidates.len());
    for (logits, candidate) in masks.zip(&prediction.candidates) {
        let pixels = candidate.mask.rle.to_mask();
        assert_eq!(pixels.len(), logits.len());
        let wrong = pixels
            .iter()
            .zip(logits)
            .filter(|(on, logit)| **on != (**logit > 0.0) && logit.abs() > TOLERANCE);
        assert_eq!(wrong.count(), 0, "{key}");
    }
}

fn opened() -> Fixture {
    Fixture::open(published("sam_alone.safetensors"))
}

#[test]
fn prompts_are_answered_as_by_segment_anything() {
    let (sam, fixture) = (sam(), opened());
    for (height, width) in [(57, 90), (200, 131)] {
        let picture = sam.picture(&structured(height, width)).unwrap();
        for Asked { name, prompt } in prompts(&fixture) {
            for (multimask, kind) in [(Multimask::Always, "multi"), (Multimask::Never, "single")] {
                let prompts = [prompt.clone()];
                let prediction = sam
                    .predict(&picture, &prompts, multimask)
                    .unwrap()
                    .remove(0);
                let key = format!("{height}.{name}.{kind}");
                assert_predicted(&fixture, &key, &prediction);
            }
        }
    }
}

#[test]
fn several_prompts_are_answered_as_one_by_one() {
    let (sam, fixture) = (sam(), opened());
    let picture = sam.picture(&structured(57, 90)).unwrap();
    let asked = prompts(&fixture);
    let all: Vec<_> = asked
        .iter()
        .chain(&asked)
        .map(|one| one.prompt.clone())
        .collect();
    let answers = sam
        .predict(&picture, &all, Multimask::WhereAmbiguous)
        .unwrap();
    assert_eq!(answers.len(), all.len());
    for (Asked { name, .. }, prediction) in asked.iter().chain(&asked).zip(&answers) {
        let kind = if *name == "point" { "multi" } else { "single" };
        assert_predicted(&fixture, &format!("57.{name}.{kind}"), prediction);
    }
    let best = answers[0].best();
    let highest = answers[0]
        .candidates
        .iter()
        .map(|one| one.estimate)
        .fold(f32::MIN, f32::max);
    assert_eq!(best.estimate, highest);
    assert!(
        sam.predict(&picture, &[], Multimask::default())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn both_published_layouts_are_one_model() {
    let image = structured(40, 64);
    let prompt = MaskPrompt::default().with_point(30.0, 20.0, true);
    let answer = |name: &str| {
        let sam = SamModel::<TestBackend>::load(&published(name), &Default::default()).unwrap();
        let picture: SamPicture<TestBackend> = sam.picture(&image).unwrap();
        let prompts = [prompt.clone()];
        sam.predict(&picture, &prompts, Multimask::Always)
            .unwrap()
            .remove(0)
    };
    let (authors, transformers) = (answer("sam.pth"), answer("sam"));
    for (one, other) in authors.candidates.iter().zip(&transformers.candidates) {
        assert_close(one.low_res.logits(), other.low_res.logits(), "low_res");
        assert!((one.estimate - other.estimate).abs() <= TOLERANCE);
    }
}

#[test]
fn the_sam_in_a_lisa_is_one_by_itself() {
    let sam = SamModel::<TestBackend>::load(&published("lisa"), &Default::default()).unwrap();
    let side = sam.image_size() as u32;
    let picture = sam.picture(&structured(side, side)).unwrap();
    let prompt = MaskPrompt::default().with_point(5.0, 3.0, true);
    let answers = sam.predict(&picture, &[prompt], Multimask::Always).unwrap();
    assert_eq!(answers[0].candidates.len(), 3);
    // A LISA is not a standalone SAM, whose engine would not answer in words.
    let is_sam = |name: &str| {
        let place = ModelPlace::open(&published(name)).unwrap();
        matches!(place, ModelPlace::Sam(_))
    };
    assert!(!is_sam("lisa"));
    assert!(is_sam("sam"));
    assert!(is_sam("sam_alone.pth"));
    assert!(!is_sam("clip"));
}

#[test]
fn an_answer_is_refined_by_its_own_logits_and_a_click() {
    let sam = sam();
    let picture = sam.picture(&structured(57, 90)).unwrap();
    let ask = |prompt: MaskPrompt| {
        let answers = sam
            .predict(&picture, &[prompt], Multimask::WhereAmbiguous)
            .unwrap();
        answers[0].best().clone()
    };
    let point = MaskPrompt::default().with_point(30.0, 20.0, true);
    let first = ask(point.clone());
    let more = point.with_point(70.0, 40.0, false);
    let refined = ask(more.clone().with_mask(first.low_res.clone()));
    assert_ne!(refined.low_res, ask(more).low_res);
    assert_ne!(refined.low_res, first.low_res);
}

#[test]
fn bad_prompts_and_pictures_are_refused() {
    let sam = sam();
    let picture = sam.picture(&structured(57, 90)).unwrap();
    let refused = |prompt| {
        sam.predict(&picture, &[prompt], Multimask::default())
            .unwrap_err()
    };
    let outside = MaskPrompt::default().with_point(90.0, 3.0, true);
    assert!(matches!(
        refused(outside),
        Error::Point {
            width: 90,
            height: 57,
            ..
        }
    ));
    assert!(matches!(
        refused(MaskPrompt::default()),
        Error::EmptyMaskPrompt
    ));
    let small = MaskPrompt::default().with_mask(LowResMask::new([0.0; 9]));
    let error = refused(small);
    assert!(
        matches!(
            error,
            Error::MaskPrompt {
                logits: 9,
                side: 32
            }
        ),
        "{error}"
    );
    let damaged = MaskPrompt::default().with_mask(LowResMask::new(vec![f32::NAN; 32 * 32]));
    assert!(matches!(refused(damaged), Error::NotFinite));
    let empty = sam.picture(&RgbImage::new(0, 3)).unwrap_err();
    assert!(matches!(empty, Error::EmptyPicture), "{empty}");
    let clip = SamModel::<TestBackend>::load(&published("clip"), &Default::default());
    let line = clip.unwrap_err().to_string();
    assert!(line.contains("CLIP") && line.contains("not SAM"), "{line}");
}

#[test]
fn thin_and_tiny_pictures_are_answered() {
    let sam = sam();
    for (width, height) in [(1, 1), (2000, 20), (3, 400)] {
        let picture = sam.picture(&RgbImage::new(width, height)).unwrap();
        let prompt = MaskPrompt::default().with_point(0.0, 0.0, true);
        let answer = sam
            .predict(&picture, &[prompt], Multimask::default())
            .unwrap()
            .remove(0);
        let size = answer.best().mask.rle.size();
        assert_eq!(size, [height as usize, width as usize]);
    }
}

#[test]
fn configs_that_do_not_fit_are_refused() {
    SamConfig::tiny().validate().unwrap();
    for config in [
        SamConfig::vit_base(),
        SamConfig::vit_large(),
        SamConfig::vit_huge(),
    ] {
        config.validate().unwrap();
    }
    let mut config = SamConfig::tiny();
    config.mask_decoder.transformer_dim *= 2;
    let line = config.validate().unwrap_err().to_string();
    assert!(line.contains("image_encoder gives 16"), "{line}");
}
