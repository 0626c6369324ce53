//! Conversations about one picture.

use anyref_core::{Prompt, Reference};

use crate::answers::content;
use crate::common::{ONE, TestBackend, image, saying};

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
        .ask(region.clone(), &mut |text| written.push_str(text))
        .unwrap();
    assert_eq!(written, first.raw);
    let alone = anyref.segment(&picture, &region).unwrap();
    assert_eq!(content(&first), content(&alone));
    let second = chat.ask(phrase("the dog"), &mut |_| {}).unwrap();
    assert_eq!(chat.turns(), 2);
    assert_eq!(second.raw, single.raw);
    assert_ne!(
        content(&second),
        content(&single),
        "the first turn is not read"
    );
}

#[test]
fn an_error_leaves_the_conversation_as_it_was() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(60, 60)).unwrap();
    let (mut smooth, mut bumpy) = (anyref.chat(&picture), anyref.chat(&picture));
    let outside = Prompt::new([Reference::Box([0.0, 0.0, 100.0, 10.0])]);
    assert!(bumpy.ask(outside.clone(), &mut |_| {}).is_err());
    for question in ["the red circle", "the dog"] {
        let expected = smooth.ask(phrase(question), &mut |_| {}).unwrap();
        let found = bumpy.ask(phrase(question), &mut |_| {}).unwrap();
        assert_eq!(content(&found), content(&expected));
        let turns = bumpy.turns();
        assert!(bumpy.ask(outside.clone(), &mut |_| {}).is_err());
        assert!(bumpy.ask(Prompt::new([]), &mut |_| {}).is_err());
        assert_eq!(bumpy.turns(), turns);
    }
}
