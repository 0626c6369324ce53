//! Questions and answers.

use std::collections::BTreeSet;
use std::fs;

use anyref_data::datasets::{
    Conversation, Error, Item, Reference, Segmentation, Shape, Target, Task, Templates,
};

use crate::support::item;

fn text(phrase: &str) -> Vec<Reference> {
    vec![Reference::Text(phrase.to_owned())]
}

fn with_targets(mut item: Item, phrases: &[&str]) -> Item {
    item.targets = phrases
        .iter()
        .map(|phrase| Target {
            phrase: (*phrase).to_owned(),
            shape: Shape::coco(Segmentation::Polygons(Vec::new())),
        })
        .collect();
    item
}

fn said(item: &Item) -> [String; 2] {
    let Conversation { question, answer } = Templates::paper().unwrap().conversation(item, 1);
    [question, answer]
}

#[test]
fn the_papers_words() {
    let segment = |phrase: &str| format!("Can you segment {phrase} in this image?");
    let one = with_targets(item(Task::Text, text("left dog")), &["left dog"]);
    assert_eq!(
        said(&one),
        [segment("left dog"), "left dog<obj>.".to_owned()]
    );
    let two = with_targets(item(Task::Semantic, text("dog")), &["dog", "dog"]);
    assert_eq!(said(&two)[1], "dog<obj>,dog<obj>.");
    let absent = item(Task::Text, text("left cat"));
    assert_eq!(said(&absent)[1], "there is no left cat in this image.");

    let audio = item(Task::Audio, vec![Reference::Audio("a.wav".into())]);
    let question = "Can you segment object with the following audio {1} in this image?";
    let named = with_targets(audio.clone(), &["piano"]);
    assert_eq!(said(&named), [question, "piano<obj>."]);
    // Sources of MS3 have no names.
    let unnamed = with_targets(audio.clone(), &[""]);
    assert_eq!(said(&unnamed), [question, "it is <obj>."]);
    assert!(!said(&audio)[1].contains("<obj>"));

    let mut described = item(Task::Describe, vec![Reference::Box([0.0, 0.0, 2.0, 2.0])]);
    described.expressions = vec!["a dog.".to_owned(), "left dog".to_owned()];
    let templates = Templates::paper().unwrap();
    let answers: BTreeSet<String> = (0..20)
        .map(|draw| templates.conversation(&described, draw).answer)
        .collect();
    assert_eq!(
        answers,
        ["a dog.".to_owned(), "left dog.".to_owned()].into()
    );
}

#[test]
fn texts_take_their_place_and_other_references_are_counted() {
    let mut mixed = item(
        Task::Audio,
        vec![
            Reference::Audio("a.wav".into()),
            // Inserted text is not replaced again.
            Reference::Text("{3}".into()),
            Reference::Box([0.0, 0.0, 1.0, 1.0]),
        ],
    );
    mixed.question = Some("Is {1} {2} or in {3}? {4} {x".to_owned());
    mixed.answer = Some("no.".to_owned());
    let [question, answer] = said(&mixed);
    assert_eq!(question, "Is {1} {3} or in {2}? {4} {x");
    assert_eq!(answer, "no.");
}

#[test]
fn a_file_may_have_variants_and_must_be_complete() {
    let paper = include_str!("../../assets/templates.json");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.json");
    let open = |text: String| {
        fs::write(&path, text).unwrap();
        Templates::open(&path)
    };
    let question = r#""text": ["Can you segment {phrase} in this image?"]"#;
    assert!(paper.contains(question));
    let two = paper.replace(
        question,
        r#""text": ["Where is {phrase}?", "Show {phrase}."]"#,
    );
    let templates = open(two).unwrap();
    let dog = with_targets(item(Task::Text, text("a dog")), &["a dog"]);
    let asked: BTreeSet<String> = (0..20)
        .map(|draw| templates.conversation(&dog, draw).question)
        .collect();
    assert_eq!(
        asked,
        ["Where is a dog?".to_owned(), "Show a dog.".to_owned()].into()
    );
    assert_eq!(
        templates.conversation(&dog, 5),
        templates.conversation(&dog, 5)
    );

    for (from, to, fault) in [
        (question, r#""text": ["Where?"]"#, "must have {phrase} once"),
        (question, r#""text": []"#, "no questions of Text"),
        ("{phrase}<obj>", "{phrase}", "must have <obj> once"),
        ("\"separator\"", "\"seperator\"", "seperator"),
    ] {
        let error = open(paper.replace(from, to)).unwrap_err();
        assert!(matches!(error, Error::Line { .. }), "{error}");
        let line = error.to_string();
        assert!(line.contains("mine.json") && line.contains(fault), "{line}");
    }
}
