//! Conversations about one picture.

use std::ops::ControlFlow::{self, Break, Continue};

use anyref_core::{AnyRef, Prompt, Reference};

use crate::answers::content;
use crate::common::{ONE, TestBackend, authors_tokenizer, image, pointing, saying};

fn go_on(_text: &str) -> ControlFlow<()> {
    Continue(())
}

fn phrase(text: &str) -> Prompt {
    Prompt::new([Reference::Text(text.into())])
}

#[test]
fn a_later_turn_is_read_after_the_earlier_ones() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(60, 60)).unwrap();
    let single = anyref.segment(&picture, &phrase("the dog")).unwrap();
    let mut chat = anyref.chat(&picture);
    let mut written = String::new();
    let region = Prompt::new([Reference::Box([10.0, 5.0, 30.0, 25.0])]);
    let first = chat
        .ask(region.clone(), &mut |text| {
            written.push_str(text);
            Continue(())
        })
        .unwrap();
    assert_eq!(written, first.raw);
    let alone = anyref.segment(&picture, &region).unwrap();
    assert_eq!(content(&first), content(&alone));
    let second = chat.ask(phrase("the dog"), &mut go_on).unwrap();
    assert_eq!(chat.turns(), 2);
    assert_eq!(second.raw, single.raw);
    assert_ne!(
        content(&second),
        content(&single),
        "the first turn is not read"
    );
}

/// Answers show the mask token as `<obj>`, whatever its name in the tokenizer, and are read again
/// with it.
#[test]
fn the_authors_mask_token_is_shown_and_read_as_ours() {
    let ours = saying::<TestBackend>(ONE, 1);
    let (config, model) = (ours.config.clone(), ours.model.clone());
    let authors = AnyRef::new(config, model, authors_tokenizer(), Default::default()).unwrap();
    assert_eq!(authors.special_tokens(), ours.special_tokens());
    let said = |anyref: &AnyRef<TestBackend>| {
        let picture = anyref.picture(&image(60, 60)).unwrap();
        let mut chat = anyref.chat(&picture);
        let mut written = String::new();
        let first = chat
            .ask(phrase("the red circle"), &mut |text| {
                written.push_str(text);
                Continue(())
            })
            .unwrap();
        assert_eq!((written.as_str(), first.raw.as_str()), (ONE, ONE));
        assert_eq!(first.text, "the red circle.");
        let second = chat.ask(phrase("the dog"), &mut go_on).unwrap();
        (content(&first), content(&second))
    };
    assert_eq!(said(&authors), said(&ours));
}

#[test]
fn turns_further_back_than_the_model_reads_count_for_nothing() {
    let mut anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(60, 60)).unwrap();
    let single = anyref.segment(&picture, &phrase("the dog")).unwrap();
    let mut ask = |history: Option<usize>, before: &[&str]| {
        anyref.config.max_history_turns = history;
        let mut chat = anyref.chat(&picture);
        for question in before {
            chat.ask(phrase(question), &mut go_on).unwrap();
        }
        let answer = chat.ask(phrase("the dog"), &mut go_on).unwrap();
        assert_eq!(chat.turns(), before.len() + 1);
        content(&answer)
    };
    let long = ["the red circle", "a cat"];
    assert_eq!(ask(Some(0), &long), content(&single));
    assert_eq!(ask(Some(1), &long), ask(None, &long[1..]));
    assert_eq!(ask(Some(7), &long), ask(None, &long));
    assert_ne!(ask(Some(1), &long), ask(None, &long));
}

#[test]
fn a_cleared_conversation_starts_anew() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(60, 60)).unwrap();
    let mut chat = anyref.chat(&picture);
    let first = chat.ask(phrase("the dog"), &mut go_on).unwrap();
    chat.ask(phrase("a cat"), &mut go_on).unwrap();
    chat.clear();
    assert_eq!(chat.turns(), 0);
    let again = chat.ask(phrase("the dog"), &mut go_on).unwrap();
    assert_eq!(content(&again), content(&first));
}

#[test]
fn an_error_leaves_the_conversation_as_it_was() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(60, 60)).unwrap();
    let (mut smooth, mut bumpy) = (anyref.chat(&picture), anyref.chat(&picture));
    let outside = Prompt::new([Reference::Box([0.0, 0.0, 100.0, 10.0])]);
    assert!(bumpy.ask(outside.clone(), &mut go_on).is_err());
    for question in ["the red circle", "the dog"] {
        let expected = smooth.ask(phrase(question), &mut go_on).unwrap();
        let found = bumpy.ask(phrase(question), &mut go_on).unwrap();
        assert_eq!(content(&found), content(&expected));
        let turns = bumpy.turns();
        assert!(bumpy.ask(outside.clone(), &mut go_on).is_err());
        assert!(bumpy.ask(Prompt::new([]), &mut go_on).is_err());
        assert_eq!(bumpy.turns(), turns);
    }
}

#[test]
fn turns_that_are_never_read_are_not_kept() {
    let mut anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(60, 60)).unwrap();
    for (most, kept) in [(Some(0), 0), (Some(2), 2), (None, 3)] {
        anyref.config.max_history_turns = most;
        let mut chat = anyref.chat(&picture);
        for question in ["the red circle", "the dog", "a cat"] {
            chat.ask(phrase(question), &mut go_on).unwrap();
        }
        assert_eq!((chat.turns(), chat.kept_turns()), (3, kept));
    }
}

#[test]
fn a_callback_ends_the_answer_and_keeps_its_masks_so_far() {
    let anyref = pointing::<TestBackend>(4, 2);
    let picture = anyref.picture(&image(60, 44)).unwrap();
    let all = anyref
        .chat(&picture)
        .ask(phrase("the red circle"), &mut go_on)
        .unwrap();
    assert_eq!(all.masks.len(), 4);
    let mut written = String::new();
    let mut chat = anyref.chat(&picture);
    let cut = chat.ask(phrase("the red circle"), &mut |text| {
        written.push_str(text);
        match written.matches("<obj>").count() {
            2 => Break(()),
            _ => Continue(()),
        }
    });
    let cut = cut.unwrap();
    assert_eq!(written, cut.raw);
    assert_eq!(cut.masks.len(), 2);
    assert!(all.raw.starts_with(&cut.raw));
    let masks = cut.masks.iter().zip(&all.masks);
    assert!(masks.into_iter().all(|(cut, all)| cut.rle == all.rle));
    assert_eq!(chat.turns(), 1);
}
