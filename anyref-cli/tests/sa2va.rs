//! Sa2VA as it is published, by the command line.

mod common;

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};

use common::{fail, folder, json, run_with, succeed};

fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-core/tests/fixtures");
    fixtures.join(name).display().to_string()
}

/// A command about the fixture's model.
fn line<'a>(command: &[&'a str], model: &'a str) -> Vec<&'a str> {
    let model = ["--model", model, "--max-new-tokens", "8"];
    command.iter().copied().chain(model).collect()
}

#[test]
fn words_boxes_and_points_are_answered_from_the_published_folder() {
    let (here, model) = (folder(), fixture("sa2va"));
    let image = fixture("sa2va/picture.png");
    let segment = ["segment", "--image", &image, "--text", "the red dog"];
    let answer = json(here.path(), &line(&segment, &model));
    assert_eq!(answer["masks"].as_array().unwrap().len(), 2);
    assert_eq!(answer["text"], "and.");

    let describe = ["describe", "--image", &image, "--box", "10,5,58,38"];
    let answer = json(here.path(), &line(&describe, &model));
    assert_eq!(answer["text"], "red dog.");
    assert!(answer["bridge"].as_array().is_none_or(Vec::is_empty));

    // A mask of two corners, as in `expected_sa2va_regions.safetensors`.
    let file = here.path().join("corners.png").display().to_string();
    let corners = GrayImage::from_fn(60, 40, |x, y| {
        Luma([255 * u8::from((x < 25 && y < 14) || (x >= 38 && y >= 25))])
    });
    corners.save(&file).unwrap();
    let describe = ["describe", "--image", &image, "--region", &file];
    let answer = json(here.path(), &line(&describe, &model));
    assert_eq!(answer["text"], "red dog.");
    let other = here.path().join("other.png").display().to_string();
    for (mask, words) in [
        (GrayImage::new(60, 40), ["other.png", "black all over"]),
        (
            GrayImage::from_pixel(9, 9, Luma([255])),
            ["picture.png", "make them equal"],
        ),
    ] {
        mask.save(&other).unwrap();
        let describe = ["describe", "--image", &image, "--region", &other];
        fail(here.path(), &line(&describe, &model), &words);
    }

    let boxed = ["segment", "--image", &image, "--box", "10,5,58,38"];
    let answer = json(here.path(), &line(&boxed, &model));
    assert_eq!(answer["bridge"][0]["by"], "sam_box_prompt");
    assert_eq!(answer["masks"].as_array().unwrap().len(), 1);

    let point = ["segment", "--image", &image, "--point", "30,20"];
    succeed(here.path(), &line(&point, &model));

    let chat = ["chat", "--image", &image];
    let asked = "Please segment the red dog in this image.\nAnd the cat?\n";
    let run = run_with(here.path(), &line(&chat, &model), asked, &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("recareca"), "{}", run.stdout);
}

#[test]
fn tiles_can_be_limited() {
    let (here, model) = (folder(), fixture("sa2va"));
    let image = fixture("sa2va/picture.png");
    let info = succeed(here.path(), &line(&["info"], &model));
    for words in [
        "InternViT",
        "SAM 2",
        "up to 12 tiles of 24 px",
        "117 tokens",
    ] {
        assert!(info.contains(words), "{words}: {info}");
    }
    let info = succeed(here.path(), &line(&["info", "--tiles", "1"], &model));
    assert!(info.contains("(9 tokens)"), "{info}");
    let segment = ["segment", "--image", &image, "--text", "dog", "--tiles"];
    succeed(here.path(), &line(&[&segment[..], &["1"]].concat(), &model));
    for (tiles, words) in [("0", "--tiles is 0"), ("300", "300")] {
        fail(
            here.path(),
            &line(&[&segment[..], &[tiles]].concat(), &model),
            &[words],
        );
    }
    // The built-in model reads one square.
    fail(here.path(), &[&segment[..], &["2"]].concat(), &["--tiles"]);
}

#[test]
fn folders_of_other_forms_are_refused_by_name() {
    let (here, other) = (folder(), folder());
    for file in fs::read_dir(fixture("sa2va")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), other.path().join(file.file_name())).unwrap();
    }
    let config = other.path().join("config.json");
    let json = fs::read_to_string(&config).unwrap();
    let qwen = json.replace("\"Sa2VAChatModel\"", "\"Sa2VAChatModelQwen\"");
    fs::write(&config, qwen).unwrap();
    let (model, image) = (
        other.path().display().to_string(),
        fixture("sa2va/picture.png"),
    );
    let segment = ["segment", "--image", &image, "--text", "dog"];
    fail(
        here.path(),
        &line(&segment, &model),
        &["Sa2VAChatModelQwen", "Sa2VA-1B"],
    );
    // A template of another family needs tokens that this one's tokenizer lacks.
    let model = fixture("sa2va");
    let template = [&segment[..], &["--conv-type", "llava_v1"]].concat();
    fail(here.path(), &line(&template, &model), &["</s>"]);
}
