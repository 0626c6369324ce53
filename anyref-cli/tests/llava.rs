//! Published LLaVA on the command line: words, and no masks.

mod common;

use std::path::Path;

use common::{fail, folder, json, run_with, succeed};

fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-core/tests/fixtures");
    fixtures.join(name).display().to_string()
}

/// Arguments of a command about the fixture's model, with CLIP given.
fn line(command: &[&str]) -> Vec<String> {
    let (model, clip) = (fixture("llava-v1.5"), fixture("clip"));
    let model = ["--model", &model, "--clip", &clip, "--max-new-tokens", "8"];
    let all = command.iter().chain(&model);
    all.map(|argument| (*argument).to_owned()).collect()
}

fn words(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

#[test]
fn it_answers_in_words_and_says_that_it_makes_no_masks() {
    let (here, image) = (folder(), fixture("lisa/picture.png"));
    let describe = ["describe", "--image", &image, "--box", "20,10,50,40"];
    let described = json(here.path(), &words(&line(&describe)));
    assert_eq!(described["makes_masks"], false);
    assert_eq!(described["masks"].as_array().unwrap().len(), 0);
    assert_eq!(described["bridge"][0]["by"], "name");
    assert!(!described["text"].as_str().unwrap().is_empty());

    let chat = line(&["chat", "--image", &image]);
    let run = run_with(here.path(), &words(&chat), "What is it?\n/point 3,4\n", &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("makes no masks"), "{}", run.stderr);
    assert!(!run.stdout.contains("no mask"), "{}", run.stdout);
    assert!(run.stderr.contains("error: this model answers in words"));

    let info = succeed(here.path(), &words(&line(&["info"])));
    assert!(info.contains("this model makes no masks"), "{info}");
    assert!(info.contains("no masks\n"), "{info}");
}

#[test]
fn masks_are_refused_with_the_remedy() {
    let (here, image) = (folder(), fixture("lisa/picture.png"));
    let out = here.path().join("out").display().to_string();
    let mask = here.path().join("mask.png").display().to_string();
    for command in [
        vec!["segment", "--image", &image, "--text", "dog"],
        vec!["segment", "--image", &image, "--box", "20,10,50,40"],
        vec!["segment", "--image", &image, "--point", "30,30"],
        vec!["segment", "--image", &image, "--text", "dog", "--out", &out],
        vec!["masks", "--image", &image],
        vec![
            "describe",
            "--image",
            &image,
            "--box",
            "20,10,50,40",
            "--mask",
            &mask,
        ],
    ] {
        let remedy = ["makes no masks", "hf://xinlai/LISA-7B-v1"];
        fail(here.path(), &words(&line(&command)), &remedy);
    }
}

#[test]
fn the_template_can_be_chosen() {
    let (here, image) = (folder(), fixture("lisa/picture.png"));
    let asked = |template: &str| {
        let chat = line(&["chat", "--image", &image, "--conv-type", template]);
        run_with(here.path(), &words(&chat), "What is it?\n", &[])
    };
    let [one, other] = ["llava_v1", "llava_llama_2"].map(asked);
    assert_eq!(
        (one.code, other.code),
        (Some(0), Some(0)),
        "{}",
        other.stderr
    );
    assert_ne!(one.stdout, other.stdout);
    let unknown = asked("mpt");
    assert_ne!(unknown.code, Some(0));
    assert!(
        unknown.stderr.contains("llava_llama_2"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn the_list_of_models_says_so() {
    let here = folder();
    let models = json(here.path(), &["models"]);
    for model in models.as_array().unwrap() {
        let llava = model["name"].as_str().unwrap().starts_with("LLaVA");
        assert_eq!(model["masks"], !llava, "{model}");
    }
    let text = succeed(here.path(), &["models"]);
    assert!(text.contains("  masks       none"), "{text}");
}
