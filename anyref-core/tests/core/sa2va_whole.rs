//! A whole Sa2VA from its authors' folder, beside a composition of transformers' InternVL, Qwen 2
//! and SAM 2 (`fixtures/export_sa2va.py`).

use std::fs;
use std::ops::ControlFlow::{self, Continue};
use std::path::Path;

use anyref_core::official::Published;
use anyref_core::{
    Answer, AnyRef, AnyRefConfig, Assembly, BridgeWay, Companions, Error, LowResMask, MaskPrompt,
    Multimask, ObjectState, Prompt, Reference, ReferenceImage, TokenArea, region_cells,
};
use anyref_decoder::rle::Rle;
use anyref_vision::preprocess::open_image;
use anyref_weights::testing::Fixture;
use image::{GrayImage, Luma, RgbImage};

use crate::common::TestBackend;
use crate::parts::{copied, load, published};

/// The boxes of `export_sa2va.py`.
const REGION: [f32; 4] = [10.0, 5.0, 58.0, 38.0];
const CORNER: [f32; 4] = [0.0, 0.0, 30.0, 20.0];
/// Answer of the fixture, with the mask token by our name for it.
const ANSWER: &str = "<obj> and <obj>.";

/// The fixture's model, whose answers end as those of `export_sa2va.py`.
fn sa2va() -> AnyRef<TestBackend> {
    let mut anyref = load(&published("sa2va"));
    anyref.generation.max_new_tokens = 8;
    anyref
}

fn shown() -> RgbImage {
    open_image(published("sa2va").join("picture.png")).unwrap()
}

fn opened() -> Fixture {
    Fixture::open(published("expected_sa2va.safetensors"))
}

fn dog() -> Prompt {
    Prompt::new([Reference::Text("the red dog".into())])
}

fn go_on(_: &str) -> ControlFlow<()> {
    Continue(())
}

fn floats(fixture: &Fixture, name: &str) -> Vec<f32> {
    fixture.data(name).iter::<f32>().collect()
}

fn words(anyref: &AnyRef<TestBackend>, fixture: &Fixture, name: &str) -> String {
    let ids: Vec<u32> = fixture.data(name).iter::<u32>().collect();
    anyref.tokenizer.decode(&ids).unwrap().trim().to_owned()
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Logits of an answer's masks, one after the other.
fn logits(answer: &Answer) -> Vec<f32> {
    let logits = answer.masks.iter().filter_map(|mask| mask.low_res.as_ref());
    logits.flat_map(LowResMask::logits).copied().collect()
}

/// Asserts the masks of the fixture, but for pixels on their edges.
fn assert_masks(answer: &Answer, fixture: &Fixture) {
    let (scores, whole) = (floats(fixture, "scores"), floats(fixture, "logits"));
    assert_eq!(answer.masks.len(), scores.len());
    let pixels = whole.len() / scores.len();
    for ((mask, score), whole) in answer.masks.iter().zip(scores).zip(whole.chunks(pixels)) {
        assert!((mask.score - score).abs() < 1e-5, "{} {score}", mask.score);
        let found = mask.rle.to_mask();
        let (mut on, mut off) = (0, 0);
        for (&found, &logit) in found.iter().zip(whole) {
            if logit.abs() > 1e-4 {
                assert_eq!(found, logit > 0.0);
            }
            *(if logit > 0.0 { &mut on } else { &mut off }) += 1;
        }
        assert!(on.min(off) > pixels / 50, "a mask of {on} and {off} pixels");
    }
}

#[test]
fn a_picture_and_a_question_become_the_reference_s_words_and_masks() {
    let (anyref, fixture) = (sa2va(), opened());
    let picture = anyref.picture(&shown()).unwrap();
    let answer = anyref.segment(&picture, &dog()).unwrap();
    assert_eq!(
        (answer.raw.as_str(), answer.text.as_str()),
        (ANSWER, "and.")
    );
    assert_masks(&answer, &fixture);

    // A chat gives the logits too.
    let mut chat = anyref.chat(&picture);
    let first = chat.ask(dog(), &mut go_on).unwrap();
    assert_eq!(first.raw, ANSWER);
    let difference = largest_difference(&logits(&first), &floats(&fixture, "low"));
    println!("logits differ by {difference:.1e}");
    assert!(difference <= 1e-4, "{difference}");
    let next = Prompt::new([]).with_question("And the cat?");
    let second = chat.ask(next, &mut go_on).unwrap();
    assert_eq!(second.raw, words(&anyref, &fixture, "next"));
}

#[test]
fn a_box_is_described_by_the_tokens_under_it() {
    let (anyref, fixture) = (sa2va(), opened());
    let picture = anyref.picture(&shown()).unwrap();
    let mut told = Vec::new();
    for (region, name) in [(REGION, "region.0"), (CORNER, "region.1")] {
        let region = || Prompt::new([Reference::Box(region)]);
        let answer = anyref.describe(&picture, &region()).unwrap();
        assert_eq!(answer.raw, words(&anyref, &fixture, name));
        assert!(answer.bridges.is_empty() && answer.masks.is_empty());
        // The default question of AnyRef stands for the model's own.
        let asked = region().with_question(anyref_core::DESCRIBE_QUESTION);
        assert_eq!(anyref.describe(&picture, &asked).unwrap().raw, answer.raw);
        told.push(answer.raw);
    }
    assert_eq!(told, ["red dog.", "cat."]);
}

/// Answers by transformers' Qwen 2 about masks that PyTorch shrinks to the tokens of the last tile
/// (`fixtures/export_sa2va_regions.py`).
#[test]
fn regions_by_masks_are_described_by_the_tokens_under_them() {
    let (anyref, fixture) = (
        sa2va(),
        Fixture::open(published("expected_sa2va_regions.safetensors")),
    );
    let picture = anyref.picture(&shown()).unwrap();
    let side = anyref.config.vision_tower.grid_size();
    let region = |name: &str| {
        let pixels = fixture.data(&format!("mask.{name}"));
        let pixels = pixels.iter::<u8>();
        let pixels: Vec<bool> = pixels.map(|pixel| pixel > 0).collect();
        let mask = Rle::from_mask(&pixels, [40, 60]).unwrap();
        let cells = fixture.data(&format!("cells.{name}"));
        let cells = cells.iter::<i64>();
        let cells: Vec<usize> = cells.map(|cell| cell as usize).collect();
        let found = region_cells(TokenArea::Mask(&mask), picture.size(), side);
        assert_eq!(found, cells);
        Reference::Mask(mask)
    };
    let [angle, corners] = ["angle", "corners"].map(region);
    for (name, reference) in [("angle", &angle), ("corners", &corners)] {
        let prompt = Prompt::new([reference.clone()]);
        let answer = anyref.describe(&picture, &prompt).unwrap();
        assert_eq!(answer.raw, words(&anyref, &fixture, name));
        assert!(answer.bridges.is_empty());
    }
    let both = Prompt::new([angle.clone(), corners]).with_question("What is {1} beside {2}?");
    let answer = anyref.segment(&picture, &both).unwrap();
    assert_eq!(answer.raw, words(&anyref, &fixture, "both"));

    // A mask of a box is that box, and the one of a whole picture is not that of a part.
    let [x0, y0, x1, y1] = REGION.map(|side| side as u32);
    let boxed = GrayImage::from_fn(60, 40, |x, y| {
        let inside = (x0..x1).contains(&x) && (y0..y1).contains(&y);
        Luma([if inside { 255 } else { 0 }])
    });
    let boxed = Reference::of_mask(&boxed).unwrap();
    assert_eq!(boxed.region(), Some(REGION));
    let answers = [boxed, Reference::Box(REGION)].map(|reference| {
        let beside = Prompt::new([reference, angle.clone()]).with_question("Is {1} in {2}?");
        anyref.segment(&picture, &beside).unwrap().raw
    });
    assert_eq!(answers[0], answers[1]);

    // The default question for a mask of a region is SAM 2's, of the box around it.
    let segmented = anyref.segment(&picture, &Prompt::new([angle])).unwrap();
    assert!(matches!(segmented.bridges[..], [ref bridge] if bridge.way == BridgeWay::BoxPrompt));

    let other = Reference::of_mask(&GrayImage::from_pixel(30, 40, Luma([255]))).unwrap();
    let error = anyref
        .describe(&picture, &Prompt::new([other]))
        .unwrap_err();
    assert!(error.to_string().contains("make them equal"), "{error}");
    let error = Reference::of_mask(&GrayImage::new(60, 40)).unwrap_err();
    assert!(error.to_string().contains("black all over"), "{error}");
}

#[test]
fn a_box_is_segmented_by_sam_2_s_own_prompt() {
    let anyref = sa2va();
    let picture = anyref.picture(&shown()).unwrap();
    let boxed = Prompt::new([Reference::Box(REGION)]);
    let answer = anyref.segment(&picture, &boxed).unwrap();
    assert!(matches!(answer.bridges[..], [ref bridge] if bridge.way == BridgeWay::BoxPrompt));
    let sam = anyref.sam().unwrap();
    let alone = sam.picture(&shown()).unwrap();
    let prompt = [MaskPrompt::default().with_region(REGION)];
    let alone = sam.predict(&alone, &prompt, Multimask::Never).unwrap();
    // SAM 2 alone shrinks by another filter.
    let iou = answer.masks[0].rle.iou(&alone[0].best().mask.rle).unwrap();
    assert!(iou > 0.8, "{iou}");
}

#[test]
fn pictures_are_bridged_as_those_of_a_lisa() {
    let anyref = sa2va();
    let picture = anyref.picture(&shown()).unwrap();
    let reference = Reference::Image(ReferenceImage::new(shown()));
    match anyref.segment(&picture, &Prompt::new([reference])) {
        Ok(answer) => assert!(matches!(
            answer.bridges[..],
            [ref bridge] if matches!(bridge.way, BridgeWay::Lookalike { .. })
        )),
        // Random weights may name nothing.
        Err(error) => assert!(matches!(error, Error::NotBridged { .. }), "{error}"),
    }
}

#[test]
fn a_mask_comes_from_the_token_s_own_state_or_the_one_before() {
    let (mut anyref, fixture) = (sa2va(), opened());
    let picture = anyref.picture(&shown()).unwrap();
    let asked =
        |anyref: &AnyRef<TestBackend>| anyref.chat(&picture).ask(dog(), &mut go_on).unwrap();
    assert_eq!(anyref.config.object_state, ObjectState::Own);
    // The state of a last token that ends an answer by its length was never computed.
    for (tokens, masks) in [(1, 0), (2, 1), (3, 1), (16, 2)] {
        anyref.generation.max_new_tokens = tokens;
        assert_eq!(asked(&anyref).masks.len(), masks, "{tokens} tokens");
    }
    anyref.config.object_state = ObjectState::Predicting;
    let before = asked(&anyref);
    let difference = largest_difference(&logits(&before), &floats(&fixture, "low_before"));
    assert!(difference <= 1e-4, "{difference}");
    assert!(largest_difference(&logits(&before), &floats(&fixture, "low")) > 0.1);
    anyref.generation.max_new_tokens = 1;
    assert_eq!(asked(&anyref).masks.len(), 1);
}

#[test]
fn answers_that_are_chosen_among_several_have_their_last_mask_too() {
    let mut anyref = sa2va();
    let picture = anyref.picture(&shown()).unwrap();
    let greedy = anyref.segment(&picture, &dog()).unwrap();
    anyref.config.candidates.count = 2;
    let chosen = anyref.segment(&picture, &dog()).unwrap();
    let objects = chosen.raw.matches("<obj>").count();
    assert_eq!(chosen.masks.len(), objects);
    if chosen.raw == greedy.raw {
        let boxes = |answer: &Answer| {
            answer
                .masks
                .iter()
                .map(|m| m.rle.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(boxes(&chosen), boxes(&greedy));
    }
    let explained = anyref.explain(&picture, &dog()).unwrap();
    for explanation in explained.1 {
        assert_eq!(
            explanation.patches.len(),
            explanation.side * explanation.side
        );
        let words: f32 = explanation.words.iter().map(|word| word.attention).sum();
        assert!((explanation.picture() + words - 1.0).abs() < 1e-4);
    }
}

#[test]
fn fewer_tiles_are_fewer_tokens_and_pictures_of_any_number_go_together() {
    let mut anyref = sa2va();
    assert_eq!(anyref.config.image_tokens(), 13 * 9);
    let wide = RgbImage::from_fn(90, 30, |x, y| image::Rgb([x as u8, y as u8, 90]));
    let square = RgbImage::from_fn(24, 24, |x, y| image::Rgb([y as u8, x as u8, 9]));
    let pictures = [shown(), wide, square, shown()];
    let prompt = dog();
    let pictures: Vec<_> = pictures
        .iter()
        .map(|p| anyref.picture(p).unwrap())
        .collect();
    let questions: Vec<_> = pictures.iter().map(|picture| (picture, &prompt)).collect();
    let together = anyref.segment_all(&questions);
    for (picture, answer) in pictures.iter().zip(together) {
        let (alone, answer) = (anyref.segment(picture, &prompt).unwrap(), answer.unwrap());
        assert_eq!(alone.raw, answer.raw);
        assert_eq!(alone.masks.len(), answer.masks.len());
    }
    let [whole, _, one, _] = &pictures[..] else {
        panic!("four pictures");
    };
    assert!(one.bytes() < whole.bytes());
    anyref.config.set_max_tiles(1).unwrap();
    assert_eq!(anyref.config.image_tokens(), 9);
    let small = anyref.picture(&shown()).unwrap();
    assert!(small.bytes() < whole.bytes());
    anyref.segment(&small, &prompt).unwrap();
    for absurd in [0, 257, usize::MAX] {
        anyref.config.set_max_tiles(absurd).unwrap();
        let line = anyref.config.validate().unwrap_err().to_string();
        assert!(line.contains("max_dynamic_patch"), "{line}");
    }
    let mut clip = AnyRefConfig::tiny();
    let line = clip.set_max_tiles(3).unwrap_err().to_string();
    assert!(line.contains("--tiles"), "{line}");
}

#[test]
fn it_is_written_and_read_as_a_model_folder() {
    let (saved, assembled) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let anyref = sa2va();
    anyref.save(saved.path(), burn::tensor::DType::F32).unwrap();
    let folder = Published::open(&published("sa2va")).unwrap();
    let parts = Assembly::of_published(&folder, &Companions::default()).unwrap();
    let written = parts.write::<TestBackend>(assembled.path()).unwrap();
    assert!(written.fresh.is_empty() && written.new_tokens == 0);
    let expected = {
        let picture = anyref.picture(&shown()).unwrap();
        anyref.segment(&picture, &dog()).unwrap()
    };
    for folder in [saved.path(), assembled.path()] {
        let json = fs::read_to_string(folder.join("config.json")).unwrap();
        for kind in ["\"intern_vit\"", "\"sam2\"", "\"own\"", "\"qwen_chat\""] {
            assert!(json.contains(kind), "{kind}: {json}");
        }
        let mut again = load(folder);
        again.generation.max_new_tokens = 8;
        let picture = again.picture(&shown()).unwrap();
        let answer = again.segment(&picture, &dog()).unwrap();
        assert_eq!(answer.raw, expected.raw);
        assert_masks(&answer, &opened());
    }
}

#[test]
fn tokens_of_the_model_are_refused_in_a_user_s_words() {
    let anyref = sa2va();
    let picture = anyref.picture(&shown()).unwrap();
    for token in [
        "<|im_end|>",
        "<|im_start|>",
        "<img>",
        "<vp>",
        "[SEG]",
        "<IMG_CONTEXT>",
    ] {
        let prompt = Prompt::new([Reference::Text(format!("the {token} dog"))]);
        let error = anyref.segment(&picture, &prompt).unwrap_err();
        assert!(error.to_string().contains("leave it out"), "{error}");
    }
}

#[test]
fn other_forms_and_other_parts_are_refused_by_name() {
    let refused = |path: &Path, change: &dyn Fn(&mut Assembly)| {
        let folder = Published::open(path).unwrap();
        let mut parts = Assembly::of_published(&folder, &Companions::default()).unwrap();
        change(&mut parts);
        let out = tempfile::tempdir().unwrap();
        let line = parts
            .write::<TestBackend>(out.path())
            .unwrap_err()
            .to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    };
    let folder = copied("sa2va");
    let config = folder.path().join("config.json");
    let json = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        json.replace("Sa2VAChatModel\"", "Sa2VAChatModelQwen\""),
    )
    .unwrap();
    let line = refused(folder.path(), &|_| {});
    assert!(
        line.contains("Sa2VAChatModelQwen") && line.contains("Sa2VA-1B"),
        "{line}"
    );
    let sam = published("sam.pth");
    let line = refused(&published("sa2va"), &|parts| parts.sam = Some(sam.clone()));
    assert!(line.contains("carries all of its own"), "{line}");
    let line = refused(&published("sa2va"), &|parts| {
        parts.adapter = Some(published("adapter"));
    });
    assert!(line.contains("adapter"), "{line}");
    // Published folders do not say the size of SAM 2.
    fs::write(&config, json.replace("grounding_encoder_config", "other")).unwrap();
    let line = refused(folder.path(), &|_| {});
    assert!(line.contains("none of the published sizes"), "{line}");
}
