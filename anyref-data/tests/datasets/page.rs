//! Check that `docs/data-sets.md` names every data set as a configuration does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyref_data::datasets::{Source, WeightedSource};
use serde_json::{Deserializer, Value, json};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/data-sets.md");
    fs::read_to_string(path).unwrap()
}

/// Text between each "```json" and its end.
fn snippets(page: &str) -> impl Iterator<Item = &str> {
    let parts = page.split("```json\n").skip(1);
    parts.map(|part| part.split_once("\n```").unwrap().0)
}

/// Name of a source in a configuration.
fn kind(source: &Source) -> String {
    let Value::Object(fields) = serde_json::to_value(source).unwrap() else {
        panic!("{source:?} is no object");
    };
    fields.keys().next().unwrap().clone()
}

/// Names of all sources, which the reader lists when it meets an unknown one.
fn kinds() -> BTreeSet<String> {
    let error = serde_json::from_value::<Source>(json!({ "nothing": {} })).unwrap_err();
    let line = error.to_string();
    let (_, listed) = line.split_once("expected one of ").unwrap();
    let names = listed.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn every_snippet_is_read_and_no_data_set_is_left_out() {
    let page = page();
    let mut named = BTreeSet::new();
    for snippet in snippets(&page) {
        let before = named.len();
        for source in Deserializer::from_str(snippet).into_iter::<WeightedSource>() {
            let source = source.unwrap_or_else(|error| panic!("{snippet}: {error}"));
            named.insert(kind(&source.source));
        }
        assert!(named.len() > before, "nothing new: {snippet}");
    }
    assert!(kinds().contains("coco_20i"), "{:?}", kinds());
    assert_eq!(named, kinds());
}
