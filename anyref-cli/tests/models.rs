//! `anyref models`, and the memory that `anyref info` shows.

mod common;

use common::{fail, folder, json, model, succeed};

#[test]
fn known_models_are_listed_with_what_was_checked() {
    let folder = folder();
    let models = json(folder.path(), &["models"]);
    let models = models.as_array().unwrap();
    let places: Vec<&str> = models
        .iter()
        .map(|model| model["location"].as_str().unwrap())
        .collect();
    for place in [
        "hf://xinlai/LISA-7B-v1",
        "hf://xinlai/LISA-7B-v1-explanatory",
        "hf://xinlai/LISA-13B-llama2-v1",
        "hf://xinlai/LISA-13B-llama2-v1-explanatory",
        "hf://facebook/sam-vit-base",
        "hf://facebook/sam-vit-large",
        "hf://facebook/sam-vit-huge",
        "hf://facebook/sam2.1-hiera-tiny",
        "hf://facebook/sam2.1-hiera-small",
        "hf://facebook/sam2.1-hiera-base-plus",
        "hf://facebook/sam2.1-hiera-large",
    ] {
        assert!(places.contains(&place), "{place}");
    }
    let text = succeed(folder.path(), &["models"]);
    for model in models {
        let name = model["name"].as_str().unwrap();
        assert!(text.contains(&format!("{:<14}{name}\n", "model")), "{text}");
        // Published weights could not be checked here.
        let published = !model["location"].as_str().unwrap().is_empty();
        let unchecked = model["unchecked"].as_str().unwrap();
        assert_eq!(
            published,
            unchecked.contains("could not be downloaded"),
            "{name}"
        );
        assert!(!model["licence"].as_str().unwrap().is_empty(), "{name}");
        assert!(model["memory"].as_u64().unwrap() > 0, "{name}");
    }
    assert!(text.contains("bridged: box, picture, sound"), "{text}");
    fail(
        folder.path(),
        &["models", "--model", "x"],
        &["models", "--model", "leave it out"],
    );
}

#[test]
fn the_memory_of_a_model_is_shown() {
    let folder = folder();
    let nano = model();
    let needs = |model: &[&str]| {
        let info = succeed(folder.path(), &[&["info"], model].concat());
        let line = info.lines().find(|line| line.starts_with("needs "));
        line.unwrap_or_else(|| panic!("{info}")).to_owned()
    };
    let path = nano.path().display().to_string();
    let own = needs(&["--model", &path]);
    assert!(
        own.contains("GB: ") && own.contains("where they lie in their file"),
        "{own}"
    );
    let wide = needs(&["--model", &path, "--dtype", "f32"]);
    assert!(
        !wide.contains("in their file") && wide.contains("for an answer"),
        "{wide}"
    );
    assert_eq!(needs(&["--ignore-memory"]), needs(&[]));
}
