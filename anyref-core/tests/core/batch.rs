//! Answers to questions asked together equal those of single calls.

use std::path::Path;
use std::time::{Duration, Instant};

use anyref_core::{Answer, AnyRef, CandidateConfig, Prompt, Reference, ReferenceImage};
use anyref_vision::preprocess::open_image;

use crate::common::{ONE, TestBackend, image, pointing, saying, tone};

fn phrase(text: &str) -> Prompt {
    Prompt::new([Reference::Text(text.into())])
}

/// Asserts equal words and masks, and estimates equal up to rounding.
#[track_caller]
fn assert_same(together: &Answer, alone: &Answer) {
    assert_eq!(together.raw, alone.raw);
    assert_eq!(together.text, alone.text);
    assert_eq!(together.masks.len(), alone.masks.len());
    for (one, other) in together.masks.iter().zip(&alone.masks) {
        assert_eq!(one.rle, other.rle, "{}", alone.raw);
        assert!((one.score - other.score).abs() < 1e-4);
    }
}

#[test]
fn answers_about_several_pictures_are_those_of_single_questions() {
    let anyref = pointing::<TestBackend>(2, 2);
    let scene = image(64, 64);
    let pictures = [
        anyref.picture(&image(60, 44)).unwrap(),
        anyref.picture(&scene).unwrap(),
    ];
    let region = Reference::Box([10.0, 5.0, 30.0, 25.0]);
    let example = ReferenceImage::cropped(&scene, [20.0, 10.0, 50.0, 40.0]).unwrap();
    let prompts = [
        phrase("the red circle"),
        phrase("a dog in this image, and the red circle with the following reference"),
        Prompt::new([region.clone()]),
        Prompt::new([Reference::Image(example), Reference::Audio(tone(300.0))]),
        phrase("dog"),
        Prompt::new([region, Reference::Text("the dog".into())]),
    ];
    let questions: Vec<_> = prompts
        .iter()
        .enumerate()
        .map(|(index, prompt)| (&pictures[index % 2], prompt))
        .collect();
    let together = anyref.segment_all(&questions);
    assert_eq!(together.len(), prompts.len());
    for (together, (picture, prompt)) in together.iter().zip(&questions) {
        let together = together.as_ref().unwrap();
        assert_eq!(together.masks.len(), 2);
        assert_same(together, &anyref.segment(picture, prompt).unwrap());
    }
    let described = anyref.describe_all(&questions[2..3]);
    let alone = anyref.describe(&pictures[0], &prompts[2]).unwrap();
    assert_same(described[0].as_ref().unwrap(), &alone);
    assert!(anyref.segment_all(&[]).is_empty());
}

#[test]
fn pictures_encoded_together_are_those_encoded_alone() {
    let anyref = pointing::<TestBackend>(1, 2);
    let images = [image(60, 44), image(33, 64), image(48, 48)];
    let preprocessor = anyref.preprocessor();
    let pixels = images.each_ref().map(|i| preprocessor.process(i).unwrap());
    let together = anyref.encode(&pixels.each_ref()).unwrap();
    assert_eq!(together.len(), 3);
    let prompt = Prompt::new([Reference::Box([10.0, 5.0, 30.0, 25.0])]);
    for (picture, image) in together.iter().zip(&images) {
        assert_eq!(picture.size(), image.dimensions());
        let alone = anyref.picture(image).unwrap();
        let alone = anyref.segment(&alone, &prompt).unwrap();
        assert_same(&anyref.segment(picture, &prompt).unwrap(), &alone);
    }
    assert!(anyref.encode(&[]).unwrap().is_empty());
}

#[test]
fn answers_of_different_lengths_end_on_their_own() {
    // The answer repeats the question's words, so rows end at different times.
    let anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(48, 48)).unwrap();
    let prompts = [phrase("the red circle"), phrase("dog"), phrase("the")];
    let questions: Vec<_> = prompts.iter().map(|prompt| (&picture, prompt)).collect();
    for (together, prompt) in anyref.segment_all(&questions).iter().zip(&prompts) {
        let alone = anyref.segment(&picture, prompt).unwrap();
        assert_same(together.as_ref().unwrap(), &alone);
    }
}

#[test]
fn a_question_that_cannot_be_asked_leaves_the_others_alone() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(48, 48)).unwrap();
    let good = phrase("the red circle");
    let outside = Prompt::new([Reference::Box([0.0, 0.0, 99.0, 9.0])]);
    let empty = Prompt::new([]);
    let long = phrase(&"dog ".repeat(5000));
    let prompts = [&outside, &good, &empty, &long, &good];
    let questions: Vec<_> = prompts.iter().map(|prompt| (&picture, *prompt)).collect();
    let answers = anyref.segment_all(&questions);
    let errors: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().err().map(ToString::to_string))
        .collect();
    assert!(errors[0].as_ref().unwrap().contains("does not fit"));
    assert!(errors[2].as_ref().unwrap().contains("empty"));
    assert!(errors[3].as_ref().unwrap().contains("positions"));
    let alone = anyref.segment(&picture, &good).unwrap();
    for answer in [&answers[1], &answers[4]] {
        assert_same(answer.as_ref().unwrap(), &alone);
    }
    let none = anyref.segment_all(&questions[..1]);
    assert!(none.len() == 1 && none[0].is_err());
}

#[test]
fn sampled_answers_do_not_depend_on_the_batch() {
    let mut anyref = saying::<TestBackend>(ONE, 1);
    anyref.generation.temperature = 2.0;
    anyref.generation.seed = 5;
    let picture = anyref.picture(&image(48, 48)).unwrap();
    let prompts = [phrase("the red circle"), phrase("the dog")];
    let questions: Vec<_> = prompts.iter().map(|prompt| (&picture, prompt)).collect();
    for (together, prompt) in anyref.segment_all(&questions).iter().zip(&prompts) {
        let alone = anyref.segment(&picture, prompt).unwrap();
        assert_same(together.as_ref().unwrap(), &alone);
    }
}

#[test]
fn the_shipped_model_answers_in_batches_as_alone() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    let mut anyref =
        AnyRef::<TestBackend>::load(&assets.join("nano"), &Default::default()).unwrap();
    let shipped = std::mem::take(&mut anyref.config.candidates);
    assert!(shipped.count > 1);
    let scene = |name: &str| open_image(assets.join("demo").join(name)).unwrap();
    let scenes = ["scene1.jpg", "scene2.jpg"].map(scene);
    let alone = scenes.each_ref().map(|i| anyref.picture(i).unwrap());
    let pixels = scenes
        .each_ref()
        .map(|i| anyref.preprocessor().process(i).unwrap());
    let pictures = anyref.encode(&pixels.each_ref()).unwrap();
    let example = Reference::Image(ReferenceImage::new(scene("scene1-3-1.png")));
    let prompts = [
        phrase("the gorilla"),
        Prompt::new([Reference::Box([108.0, 52.0, 205.0, 171.0])]),
        Prompt::new([example]),
        phrase("the animal left of the gorilla"),
        phrase("the trumpet"),
    ];
    let questions: Vec<_> = pictures
        .iter()
        .flat_map(|picture| prompts.iter().map(move |prompt| (picture, prompt)))
        .collect();
    // Greedy answers are generated together; answers chosen among several are about pictures
    // encoded together.
    for candidates in [CandidateConfig::default(), shipped] {
        anyref.config.candidates = candidates;
        let start = Instant::now();
        let together = anyref.segment_all(&questions);
        let passed = start.elapsed();
        let times = together.iter().flatten().map(|answer| {
            let timing = answer.timing;
            timing.audio + timing.prompt + timing.generate + timing.decode
        });
        // Questions answered at once share the time.
        assert!(times.sum::<Duration>() <= passed);
        let mut masks = 0;
        for (index, (together, (_, prompt))) in together.iter().zip(&questions).enumerate() {
            let together = together.as_ref().unwrap();
            let alone = &alone[index / prompts.len()];
            assert_same(together, &anyref.segment(alone, prompt).unwrap());
            masks += together.masks.len();
        }
        assert!(masks > 3, "{masks}");
    }
}
