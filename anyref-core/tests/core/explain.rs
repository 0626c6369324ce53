//! Attention behind an `<obj>`.

use anyref_audio::Waveform;
use anyref_core::{Prompt, Reference};

use crate::common::{NONE, TestBackend, image, pointing, saying, tone};

#[test]
fn shares_are_of_everything_that_was_read() {
    let anyref = pointing::<TestBackend>(2, 6);
    let picture = anyref.picture(&image(64, 48)).unwrap();
    let sound: Waveform = tone(700.0);
    let prompt = Prompt::new([
        Reference::Box([4.0, 4.0, 30.0, 30.0]),
        Reference::Audio(sound),
        Reference::Text("the red circle".into()),
    ]);
    let (answer, explanations) = anyref.explain(&picture, &prompt).unwrap();
    let plain = anyref.segment(&picture, &prompt).unwrap();
    assert_eq!(answer.raw, plain.raw);
    assert_eq!(explanations.len(), answer.masks.len());
    assert_eq!(explanations.len(), 2);
    let objects = explanations
        .iter()
        .zip(answer.masks.iter().zip(&plain.masks));
    for (index, (explanation, (mask, plain))) in objects.enumerate() {
        assert_eq!(
            (&explanation.after.rle, explanation.after.score),
            (&mask.rle, mask.score)
        );
        assert_eq!(mask.rle, plain.rle);
        assert!(explanation.before.score != explanation.after.score);
        assert_eq!(explanation.patches.len(), explanation.side.pow(2));
        assert_eq!(explanation.references.len(), 2);
        let words = explanation.words.iter();
        let read: f32 = words.clone().map(|word| word.attention).sum();
        let all = read + explanation.picture() + explanation.references.iter().sum::<f32>();
        assert!((all - 1.0).abs() < 1e-4, "{all}");
        assert!(explanation.patches.iter().all(|&share| share > 0.0));
        let refocused: f32 = words.clone().map(|word| word.refocus).sum();
        assert!((refocused - 1.0).abs() < 1e-4, "{refocused}");
        // The answer is `the<obj>, the<obj>`.
        let back: Vec<&str> = words
            .clone()
            .filter(|word| word.refocus > 0.0)
            .map(|word| word.text.trim())
            .collect();
        assert_eq!(back, [&["the"][..], &[",", "the"]][index]);
        let text: Vec<&str> = words.map(|word| word.text.as_str()).collect();
        assert_eq!(text.iter().filter(|text| **text == "<obj>").count(), index);
        assert!(
            text.contains(&"<aud_ref>") && text.contains(&"<img_ref>"),
            "{text:?}"
        );
    }
}

#[test]
fn refocusing_reads_the_attention_that_is_shown() {
    let mut anyref = pointing::<TestBackend>(1, 6);
    let picture = anyref.picture(&image(64, 64)).unwrap();
    let prompt = Prompt::new([Reference::Text("the red circle".into())]);
    let (_, explanations) = anyref.explain(&picture, &prompt).unwrap();
    // Without refocusing, both masks are the one from the state alone.
    anyref.model = anyref.model.with_refocus_lambda(0.0);
    let (_, alone) = anyref.explain(&picture, &prompt).unwrap();
    assert_eq!(alone[0].before.score, explanations[0].before.score);
    assert_eq!(alone[0].after.score, alone[0].before.score);
    assert_eq!(alone[0].words, explanations[0].words);
}

#[test]
fn an_answer_that_points_at_nothing_explains_nothing() {
    let anyref = saying::<TestBackend>(NONE, 6);
    let picture = anyref.picture(&image(64, 64)).unwrap();
    let prompt = Prompt::new([Reference::Text("the dog".into())]);
    let (answer, explanations) = anyref.explain(&picture, &prompt).unwrap();
    assert!(answer.masks.is_empty() && explanations.is_empty());
}
