//! Visual Genome, PhraseCut, ReasonSeg.

use anyref_data::datasets::{Dataset, Error, ReasonSeg, Templates};
use serde_json::json;

use crate::support::{compare_all, expected, folder, opened, refused, shape};

#[test]
fn regions_are_cut_to_their_picture() {
    let root = folder("visual_genome");
    let genome = opened(json!({"visual_genome": {"root": root}})).unwrap();
    compare_all(&*genome, &expected("visual_genome"), &root);
}

#[test]
fn phrases_may_mean_several_things() {
    let root = folder("phrase_cut");
    let wanted = expected("phrase_cut");
    let source = |split: &str, grouping: &str| json!({"phrase_cut": {"root": root, "split": split, "grouping": grouping}});
    compare_all(&*opened(source("train", "merged")).unwrap(), &wanted, &root);
    let each = opened(source("train", "each")).unwrap();
    let item = each.item(0, 0).unwrap();
    let masks: Vec<_> = item
        .targets
        .iter()
        .map(|t| shape(&t.shape, item.size))
        .collect();
    assert_eq!(json!(masks), wanted[0]["each"]);
    let error = refused(source("val", "each"));
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("refer_val.json"));
}

#[test]
fn what_is_to_be_ignored_is_no_part_of_the_answer() {
    let root = folder("reason_seg");
    let reason = ReasonSeg::open(&root, "val").unwrap();
    let mut wanted = expected("reason_seg");
    wanted[0]["question"] = json!("{1} Can you segment it in this image?");
    compare_all(&reason, &wanted, &root);
    let [one, two] = [0, 1].map(|index| reason.item(index, 0).unwrap());
    assert_eq!(reason.explanation(&one), Some("the dog, since it plays"));
    assert_eq!(reason.explanation(&two), None);
}

#[test]
fn sentences_are_asked_before_the_question_and_phrases_in_it() {
    let reason = ReasonSeg::open(&folder("reason_seg"), "val").unwrap();
    let templates = Templates::paper().unwrap();
    let asked = [0, 1].map(|index| {
        let item = reason.item(index, 0).unwrap();
        templates.conversation(&item, 0).question
    });
    assert_eq!(
        asked,
        [
            "what would catch a ball? Can you segment it in this image?",
            "Can you segment the man’s hat in this image?",
        ]
    );
}
