//! SAM alone: clicks, boxes and automatic masks.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use anyref_decoder::rle::Rle;
use common::{fail, folder, json, model, pointing, run_in, scene, succeed};
use serde_json::Value;

/// Path of a tiny SAM with random weights, in the authors' layout.
fn sam() -> String {
    fixture("sam_alone.pth")
}

fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-core/tests/fixtures");
    fixtures.join(name).display().to_string()
}

/// Arguments of a question about the bundled scene.
fn asked<'a>(model: &'a str, scene: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["segment", "--model", model, "--image", scene], more].concat()
}

fn masks(answer: &Value) -> Vec<Rle> {
    let masks = answer["masks"].as_array().unwrap().iter();
    masks
        .map(|mask| serde_json::from_value(mask.clone()).unwrap())
        .collect()
}

#[test]
fn a_sam_alone_answers_points_and_boxes() {
    let (folder, sam, scene) = (folder(), sam(), scene());
    let answer = |more: &[&str]| json(folder.path(), &asked(&sam, &scene, more));
    let point = answer(&["--point", "100,120"]);
    assert_eq!(point["model"], "SAM");
    assert_eq!(point["text"], "");
    assert_eq!(masks(&point).len(), 1);
    assert_eq!(masks(&point)[0].size(), [256, 256]);
    let all = answer(&["--point", "100,120", "--multimask"]);
    assert_eq!(masks(&all).len(), 3);
    assert_eq!(masks(&all)[0], masks(&point)[0]);
    let scores: Vec<f64> = (0..3)
        .map(|i| all["masks"][i]["score"].as_f64().unwrap())
        .collect();
    assert!(scores.is_sorted_by(|one, other| one >= other), "{scores:?}");
    let several = answer(&["--point", "100,120", "--point", "3,200,0"]);
    assert_eq!(masks(&several).len(), 1);
    let boxed = answer(&["--box", "20,30,120,200"]);
    assert_eq!(masks(&boxed).len(), 1);
    let joined = answer(&["--point", "100,120", "--box", "20,30,120,200"]);
    assert_ne!(masks(&joined), masks(&boxed));
    let boxes = answer(&["--box", "20,30,120,200", "--box", "100,100,250,250"]);
    assert_eq!(masks(&boxes).len(), 2);
    assert_eq!(masks(&boxes)[0], masks(&boxed)[0]);
}

#[test]
fn a_mask_is_refined_by_clicks() {
    let (folder, sam, scene) = (folder(), sam(), scene());
    let first = ["--point", "100,120", "--mask", "first.png"];
    let told = succeed(folder.path(), &asked(&sam, &scene, &first));
    assert!(
        told.starts_with("mask 1: ") && told.contains("first.png"),
        "{told}"
    );
    let more = [
        "--refine",
        "first.png",
        "--point",
        "100,120",
        "--point",
        "3,200,0",
    ];
    let overlay = [&more[..], &["--overlay", "o.png"]].concat();
    let refined = json(folder.path(), &asked(&sam, &scene, &overlay));
    let alone = json(folder.path(), &asked(&sam, &scene, &more[2..]));
    assert_ne!(masks(&refined), masks(&alone));
    assert!(folder.path().join("o.png").is_file());
}

#[test]
fn whole_models_answer_clicks_by_their_own_sam() {
    let (folder, model, scene) = (folder(), model(), scene());
    let model = model.path().display().to_string();
    let answer = json(
        folder.path(),
        &asked(&model, &scene, &["--point", "100,120"]),
    );
    assert_eq!(answer["model"], "nano");
    assert_eq!(masks(&answer).len(), 1);
}

#[test]
fn what_cannot_be_clicked_is_refused_on_one_line() {
    let (folder, sam, scene) = (folder(), sam(), scene());
    let refused = |more: &[&str], words: &[&str]| {
        fail(folder.path(), &asked(&sam, &scene, more), words);
    };
    refused(&["--point", "256,3"], &["scene1.jpg", "0 <= x < 256"]);
    refused(&["--point", "-1,3"], &["scene1.jpg", "outside"]);
    refused(&["--point", "3"], &["x,y"]);
    refused(
        &["--point", "3,4", "--point", "3,4,0"],
        &["as on the object and as off it"],
    );
    refused(&["--multimask"], &["nothing is pointed at"]);
    refused(
        &["--point", "3,4", "--text", "dog"],
        &["--box", "nothing else"],
    );
    refused(&["--text", "dog"], &["no language model", "--point"]);
    refused(&["--box", "5,5,5,9"], &["empty or inverted"]);
    let boxes = ["--point", "3,4", "--box", "1,1,9,9", "--box", "2,2,9,9"];
    refused(&boxes, &["2 boxes", "give one"]);
    image::GrayImage::new(9, 9)
        .save(folder.path().join("m.png"))
        .unwrap();
    refused(
        &["--refine", "m.png"],
        &["scene1.jpg", "(9, 9)", "(256, 256)"],
    );
    let missing = folder.path().join("none.pth").display().to_string();
    fail(
        folder.path(),
        &asked(&missing, &scene, &["--point", "3,4"]),
        &["none.pth"],
    );
    fs::write(folder.path().join("bad.pth"), "no weights").unwrap();
    fail(
        folder.path(),
        &asked("bad.pth", &scene, &["--point", "3,4"]),
        &["bad.pth"],
    );
    let describe = [
        "describe", "--model", &sam, "--image", &scene, "--box", "1,1,9,9",
    ];
    fail(folder.path(), &describe, &["no language model"]);
}

#[test]
fn thin_and_tiny_pictures_are_clicked() {
    let (folder, sam) = (folder(), sam());
    for (width, height) in [(1, 1), (2000, 20)] {
        image::RgbImage::new(width, height)
            .save(folder.path().join("p.png"))
            .unwrap();
        let answer = json(folder.path(), &asked(&sam, "p.png", &["--point", "0,0"]));
        assert_eq!(masks(&answer)[0].size(), [height as usize, width as usize]);
    }
}

/// Arguments with which random weights find masks.
const LOOSE: [&str; 10] = [
    "--points-per-side",
    "4",
    "--pred-iou-thresh",
    "0",
    "--stability-score-thresh",
    "0.3",
    "--stability-score-offset",
    "0.3",
    "--box-nms-thresh",
    "1",
];

#[test]
fn every_mask_of_a_picture_is_written() {
    let (folder, sam, scene) = (folder(), sam(), scene());
    let outputs = [
        "--out",
        "masks",
        "--coco",
        "coco.json",
        "--overlay",
        "o.png",
    ];
    let asked = [
        &["masks", "--model", &sam, "--image", &scene],
        &LOOSE[..],
        &outputs,
    ]
    .concat();
    let answer = json(folder.path(), &asked);
    let found = masks(&answer);
    assert!(found.len() > 3, "{}", found.len());
    let one = &answer["masks"][0];
    assert_eq!(one["crop_box"], serde_json::json!([0, 0, 256, 256]));
    assert!(one["stability_score"].as_f64().unwrap() >= 0.3);
    assert_eq!(one["point_coords"][0].as_array().unwrap().len(), 2);

    let coco = fs::read_to_string(folder.path().join("coco.json")).unwrap();
    let coco: Value = serde_json::from_str(&coco).unwrap();
    assert_eq!(coco["images"][0]["width"], 256);
    let annotations = coco["annotations"].as_array().unwrap();
    assert_eq!(annotations.len(), found.len());
    for (annotation, mask) in annotations.iter().zip(&found) {
        let segmentation: Rle = serde_json::from_value(annotation["segmentation"].clone()).unwrap();
        assert_eq!(segmentation, *mask);
        assert_eq!(annotation["area"], mask.area());
    }
    let first = folder.path().join("masks/mask_001.png");
    let first = image::open(first).unwrap().into_luma8();
    let on = first.pixels().filter(|pixel| pixel[0] == 255).count();
    assert_eq!(on as u64, found[0].area());
    let files: Vec<PathBuf> = fs::read_dir(folder.path().join("masks"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), found.len());
    assert!(folder.path().join("o.png").is_file());
    // Masks of another run would lie among them.
    fail(folder.path(), &asked, &["holds masks already"]);
}

#[test]
fn options_of_masks_are_checked_before_a_model_is_read() {
    let (folder, scene) = (folder(), scene());
    let refused = |more: &[&str], words: &[&str]| {
        let asked = [&["masks", "--model", "none.pth", "--image", &scene], more].concat();
        fail(folder.path(), &asked, words);
    };
    refused(&["--points-per-side", "0"], &["points_per_side"]);
    refused(&["--crop-n-layers", "9"], &["crop_n_layers", "6"]);
    refused(&["--coco", &scene], &["scene1.jpg", "another name"]);
    refused(&["--overlay", "o.txt"], &["o.txt"]);
    fs::write(folder.path().join("file"), "").unwrap();
    refused(&["--out", "file"], &["file", "folder"]);
    let clip = fixture("clip");
    let other = ["masks", "--model", &clip, "--image", &scene];
    fail(folder.path(), &other, &["clip"]);
}

#[test]
fn transformers_layout_is_a_model_too() {
    let (folder, sam, scene) = (folder(), fixture("sam"), scene());
    let answer = json(folder.path(), &asked(&sam, &scene, &["--point", "100,120"]));
    assert_eq!(masks(&answer).len(), 1);
    let told = succeed(folder.path(), &["info", "--model", &sam]);
    assert!(
        told.contains("mask_decoder") && told.contains("64 px"),
        "{told}"
    );
}

#[test]
fn a_chat_refines_masks_click_by_click() {
    let (folder, sam, scene) = (folder(), sam(), scene());
    let chat = |model: &str, lines: &str| {
        let asked = [
            "chat",
            "--model",
            model,
            "--image",
            &scene,
            "--overlay",
            "o.png",
        ];
        let asked = [&asked[..], &["--max-new-tokens", "1"]].concat();
        let run = run_in(folder.path(), &asked, lines);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run
    };
    let lines =
        "/point 100,120\n/point 999,3\n/point 3,200,0\nwhat is this?\n/forget\n/point 100,120\n";
    let run = chat(&sam, lines);
    let told: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| line.starts_with("mask"))
        .collect();
    assert_eq!(told.len(), 3, "{}", run.stdout);
    assert_ne!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
    assert!(run.stderr.contains("outside"), "{}", run.stderr);
    assert!(run.stderr.contains("no language model"), "{}", run.stderr);
    assert!(folder.path().join("o_2.png").is_file());

    // A mask of the language model's answer is refined, instead of a new one being begun.
    let answered = chat(pointing(), "dog\n/point 100,120\n");
    let begun = chat(pointing(), "/point 100,120\n");
    let last = |told: &str| {
        told.lines()
            .rfind(|line| line.starts_with("mask"))
            .unwrap()
            .to_owned()
    };
    assert_ne!(last(&answered.stdout), last(&begun.stdout));
}
