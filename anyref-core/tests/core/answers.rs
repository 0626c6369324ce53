//! Questions of every kind through the public API.

use anyref_core::{Answer, Prompt, Reference, ReferenceImage};
use image::{GrayImage, Luma};

use crate::common::{NONE, ONE, TestBackend, image, pointing, saying, tone};

fn phrase(text: &str) -> Prompt {
    Prompt::new([Reference::Text(text.into())])
}

/// Content by which two answers are compared.
pub fn content(answer: &Answer) -> (String, Vec<(String, f32)>) {
    let masks = answer
        .masks
        .iter()
        .map(|mask| (mask.rle.to_compressed(), mask.score))
        .collect();
    (answer.raw.clone(), masks)
}

#[test]
fn an_object_brings_a_mask_of_the_pictures_size() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(60, 44)).unwrap();
    assert_eq!(picture.size(), (60, 44));
    let answer = anyref.segment(&picture, &phrase("the red circle")).unwrap();
    assert_eq!(
        (answer.raw.as_str(), answer.text.as_str()),
        (ONE, "the red circle.")
    );
    let [mask] = &answer.masks[..] else {
        panic!("{} masks", answer.masks.len())
    };
    assert_eq!(mask.rle.size(), [44, 60]);
    let pixels = mask.to_image();
    assert_eq!(pixels.dimensions(), (60, 44));
    assert_eq!(
        pixels.pixels().filter(|p| p[0] == 255).count() as u64,
        mask.area()
    );
    assert!((0.0..=1.0).contains(&mask.score));
}

#[test]
fn doubtful_masks_are_left_out_and_counted() {
    let mut anyref = pointing::<TestBackend>(3, 1);
    let picture = anyref.picture(&image(48, 48)).unwrap();
    let ask = |anyref: &anyref_core::AnyRef<TestBackend>| {
        let answer = anyref.segment(&picture, &phrase("the red circle"));
        answer.unwrap()
    };
    let all = ask(&anyref);
    assert_eq!((all.masks.len(), all.doubtful), (3, 0));
    let mut scores: Vec<f32> = all.masks.iter().map(|mask| mask.score).collect();
    scores.sort_by(f32::total_cmp);
    // A mask with a score equal to the limit is kept.
    anyref.config.min_mask_score = scores[1];
    let kept = scores.iter().filter(|&&score| score >= scores[1]).count();
    let some = ask(&anyref);
    assert_eq!((some.masks.len(), some.doubtful), (kept, 3 - kept));
    assert!(some.masks.iter().all(|mask| mask.score >= scores[1]));
    anyref.config.min_mask_score = scores[2] + 0.1;
    let none = ask(&anyref);
    assert_eq!((none.masks.len(), none.doubtful), (0, 3));
    assert_eq!((none.raw, none.text), (all.raw, all.text));
}

#[test]
fn several_objects_bring_several_masks_and_none_brings_none() {
    let anyref = pointing::<TestBackend>(3, 1);
    let picture = anyref.picture(&image(48, 48)).unwrap();
    let answer = anyref.segment(&picture, &phrase("the red circle")).unwrap();
    assert_eq!(answer.raw, "the<obj>, the<obj>, the<obj>,");
    assert_eq!(answer.masks.len(), 3);

    let anyref = saying::<TestBackend>(NONE, 1);
    let picture = anyref.picture(&image(48, 48)).unwrap();
    let answer = anyref.segment(&picture, &phrase("the dog")).unwrap();
    assert_eq!(answer.text, NONE);
    assert!(answer.masks.is_empty());
}

#[test]
fn a_picture_is_encoded_once_for_all_questions() {
    let anyref = pointing::<TestBackend>(2, 2);
    let picture = anyref.picture(&image(50, 40)).unwrap();
    let encoding = picture.encoding_time();
    let first = anyref.segment(&picture, &phrase("the red circle")).unwrap();
    let other = anyref.segment(&picture, &phrase("the dog")).unwrap();
    let again = anyref.segment(&picture, &phrase("the red circle")).unwrap();
    assert_eq!(content(&first), content(&again));
    assert_ne!(content(&first), content(&other));
    assert_eq!(picture.encoding_time(), encoding);
    assert_eq!(first.timing.image, encoding);
    assert!(other.timing.image.is_zero() && again.timing.image.is_zero());
}

#[test]
fn every_kind_of_reference_is_looked_at() {
    let anyref = pointing::<TestBackend>(1, 4);
    let scene = image(64, 64);
    let picture = anyref.picture(&scene).unwrap();
    let mut mask = GrayImage::new(64, 64);
    (12..28).for_each(|x| (8..20).for_each(|y| mask.put_pixel(x, y, Luma([255]))));
    let references = [
        Reference::Box([10.0, 5.0, 30.0, 25.0]),
        Reference::Box([30.0, 30.0, 64.0, 64.0]),
        Reference::Image(ReferenceImage::cropped(&scene, [20.0, 10.0, 50.0, 40.0]).unwrap()),
        Reference::Image(ReferenceImage::masked(&scene, &mask).unwrap()),
        Reference::Audio(tone(300.0)),
        Reference::Audio(tone(2500.0)),
    ];
    let ask = |references: Vec<Reference>| {
        let answer = anyref.segment(&picture, &Prompt::new(references)).unwrap();
        assert_eq!(answer.masks.len(), 1);
        content(&answer)
    };
    let answers: Vec<_> = references.iter().map(|r| ask(vec![r.clone()])).collect();
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(&ask(vec![references[index].clone()]), answer);
        for other in &answers[..index] {
            assert_ne!(answer, other, "reference {index}");
        }
    }
    // The order of references determines the order of the features.
    let [a, b] = [references[0].clone(), references[1].clone()];
    assert_ne!(
        ask(vec![a.clone(), b.clone()]),
        ask(vec![b.clone(), a.clone()])
    );
    let swapped = Prompt::new([b, a]).with_question("find {2} and {1}");
    let [a, b] = [references[0].clone(), references[1].clone()];
    let straight = Prompt::new([a, b]).with_question("find {1} and {2}");
    let score = |prompt| anyref.segment(&picture, &prompt).unwrap().masks[0].score;
    assert_eq!(score(swapped), score(straight));
}

#[test]
fn sounds_and_encoding_are_timed() {
    let anyref = saying::<TestBackend>(NONE, 1);
    let picture = anyref.picture(&image(40, 40)).unwrap();
    let sound = Prompt::new([Reference::Audio(tone(440.0))]);
    let answer = anyref.describe(&picture, &sound).unwrap();
    assert!(!answer.timing.audio.is_zero() && !answer.timing.generate.is_zero());
    let region = Prompt::new([Reference::Box([1.0, 2.0, 20.0, 30.0])]);
    let answer = anyref.describe(&picture, &region).unwrap();
    assert!(answer.timing.audio.is_zero() && !answer.timing.prompt.is_zero());
}
