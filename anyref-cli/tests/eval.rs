//! `anyref eval` on data sets in their published layouts.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{fail, folder, succeed, tone, write_sound};

fn fixture(name: &str) -> String {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-train/tests/fixtures/datasets");
    root.join(name).display().to_string()
}

fn ids(file: &Path) -> Vec<String> {
    let id = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        value["id"].as_str().unwrap().to_owned()
    };
    fs::read_to_string(file).unwrap().lines().map(id).collect()
}

/// The files of a folder below another, copied.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn a_benchmark_is_asked_scored_and_gone_on_with() {
    let folder = folder();
    let (root, out) = (fixture("refer"), folder.path().join("out"));
    let arguments = ["eval", "refcoco", "--root", &root, "--out", "out"];
    let table = succeed(folder.path(), &arguments);
    assert!(
        table.contains("| cIoU |") && table.contains("| Pr@0.9 |"),
        "{table}"
    );
    let (targets, predictions) = (out.join("targets.jsonl"), out.join("predictions.jsonl"));
    let asked = ids(&targets);
    assert_eq!(asked, ids(&predictions));
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len());
    assert!(
        table.contains(&format!("{} questions", asked.len())),
        "{table}"
    );

    // The page shows every question at most once a sort, the best first.
    let page = fs::read_to_string(out.join("cases.md")).unwrap();
    for name in ["best", "median", "worst"] {
        assert!(page.contains(&format!("![{name}]({name}.png)")), "{page}");
        let sheet = image::open(out.join(format!("{name}.png"))).unwrap();
        assert!(sheet.width() > 320, "{}", sheet.width());
    }
    let rows = |name: &str| -> Vec<(String, f64)> {
        let section = page
            .split("## ")
            .find(|part| part.starts_with(name))
            .unwrap();
        let lines = section
            .lines()
            .filter(|line| line.starts_with("| ") && !line.contains("---"));
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(" | ").collect();
            Some((cells[0][2..].to_owned(), cells[1].parse().ok()?))
        };
        lines.filter_map(row).collect()
    };
    let (best, worst) = (rows("best"), rows("worst"));
    assert_eq!(best.len(), asked.len().min(12));
    assert!(best.is_sorted_by(|a, b| a.1 >= b.1) && worst.is_sorted_by(|a, b| a.1 <= b.1));
    assert!(worst[0].1 <= best[0].1);

    // The same scores as from the files alone.
    let files = [
        "--targets",
        "out/targets.jsonl",
        "--predictions",
        "out/predictions.jsonl",
    ];
    let scored = succeed(folder.path(), &[&["score", "refcoco"][..], &files].concat());
    assert!(table.starts_with(scored.trim_end()), "{table}{scored}");

    // A kill in the middle of a line, or between a target and its answer.
    let whole = fs::read_to_string(&predictions).unwrap();
    for cut in [whole.len() - 9, whole.trim_end().rfind('\n').unwrap() + 1] {
        fs::write(&predictions, &whole[..cut]).unwrap();
        assert_eq!(succeed(folder.path(), &arguments), table);
        assert_eq!(ids(&predictions), asked);
    }
    let other = [&arguments[..], &["--split", "testA"]].concat();
    fail(folder.path(), &other, &["other questions", "--out"]);
    let other = [&arguments[..], &["--split", "none"]].concat();
    fail(folder.path(), &other, &["none", "val", "testA"]);
    fail(folder.path(), &["eval", "refcoco"], &["--root"]);
}

#[test]
fn boxes_are_described_and_nothing_is_a_target() {
    let folder = folder();
    let root = fixture("refer");
    let described = [
        "eval",
        "refcocog",
        "--root",
        &root,
        "--describe",
        "--out",
        "words",
    ];
    let table = succeed(folder.path(), &described);
    assert!(
        table.contains("BLEU-4") && table.contains("CIDEr"),
        "{table}"
    );
    let root = fixture("grefcoco");
    let table = succeed(
        folder.path(),
        &["eval", "grefcoco", "--root", &root, "--out", "several"],
    );
    assert!(
        table.contains("N-acc") && table.contains("T-acc"),
        "{table}"
    );
}

#[test]
fn a_file_of_ones_own_may_mix_all_kinds_of_references() {
    let folder = folder();
    let own = folder.path().join("own");
    copy(&PathBuf::from(fixture("own")), &own);
    let root = own.join("good.jsonl").display().to_string();
    let arguments = ["eval", "own", "--root", &root, "--out", "masks"];
    fail(folder.path(), &arguments, &["good.jsonl 4", "0.1 s"]);
    write_sound(&own.join("dog.wav"), 16_000, 1.0, tone);
    let table = succeed(folder.path(), &arguments);
    let segmented = ids(&folder.path().join("masks/targets.jsonl"));
    assert!(segmented.len() > 2 && table.contains("cIoU"), "{table}");
    let described = [
        "eval",
        "own",
        "--root",
        &root,
        "--describe",
        "--out",
        "words",
    ];
    succeed(folder.path(), &described);
    let described = ids(&folder.path().join("words/targets.jsonl"));
    assert!(!described.is_empty());
    assert!(described.iter().all(|id| !segmented.contains(id)));
}

#[test]
fn a_partial_folder_says_what_is_missing() {
    let folder = folder();
    let root = folder.path().join("refer");
    copy(&PathBuf::from(fixture("refer")), &root);
    let images = root.join("images/mscoco/images/train2014");
    let arguments = ["eval", "refcoco", "--root", "refer", "--out", "out"];
    let all = succeed(folder.path(), &[&arguments[..5], &["all"]].concat());
    let first = ids(&folder.path().join("all/targets.jsonl")).len();
    let target = fs::read_to_string(folder.path().join("all/targets.jsonl")).unwrap();
    let target: Value = serde_json::from_str(target.lines().next().unwrap()).unwrap();
    let picture = PathBuf::from(target["image"].as_str().unwrap());
    fs::remove_file(folder.path().join(&picture)).unwrap();
    let name = picture.file_name().unwrap().to_str().unwrap();
    fail(folder.path(), &arguments, &[name, "--limit"]);
    let run = common::run_in(
        folder.path(),
        &[&arguments[..], &["--limit", "100"]].concat(),
        "",
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains("left out") && run.stderr.contains(name),
        "{}",
        run.stderr
    );
    let left = ids(&folder.path().join("out/targets.jsonl")).len();
    assert!(0 < left && left < first, "{left} of {first}: {all}");
    fs::remove_dir_all(images).unwrap();
    let arguments = [
        "eval", "refcoco", "--root", "refer", "--out", "none", "--limit", "1",
    ];
    fail(folder.path(), &arguments, &["missing", ".jpg"]);
}

/// A benchmark asked about; its table and the targets that it wrote.
fn asked(folder: &Path, benchmark: &str, root: &str, options: &[&str]) -> (String, Vec<Value>) {
    let arguments = ["eval", benchmark, "--root", root, "--out", benchmark];
    let table = succeed(folder, &[&arguments[..], options].concat());
    let targets = fs::read_to_string(folder.join(benchmark).join("targets.jsonl")).unwrap();
    let targets = targets
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (table, targets.collect())
}

#[test]
fn questions_that_must_be_thought_about_leave_pixels_open() {
    let folder = folder();
    let (table, targets) = asked(folder.path(), "reasonseg", &fixture("reason_seg"), &[]);
    assert!(
        table.contains("| gIoU |") && table.contains("ReasonSeg"),
        "{table}"
    );
    let of = |name: &str| {
        let mut targets = targets.iter();
        targets
            .find(|t| t["id"].as_str().unwrap().starts_with(name))
            .unwrap()
    };
    // The first picture has a polygon marked as one that does not count.
    assert!(of("one")["ignore"]["counts"].is_string(), "{:?}", of("one"));
    assert!(of("two").get("ignore").is_none(), "{:?}", of("two"));
}

#[test]
fn readers_that_look_into_pictures_may_lack_some() {
    let folder = folder();
    copy(
        &PathBuf::from(fixture("reason_seg")),
        &folder.path().join("root"),
    );
    fs::remove_file(folder.path().join("root/val/one.jpg")).unwrap();
    let arguments = [
        "eval",
        "reasonseg",
        "--root",
        "root",
        "--out",
        "out",
        "--limit",
        "9",
    ];
    let run = common::run_in(folder.path(), &arguments, "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains("left out") && run.stderr.contains("one.jpg"),
        "{}",
        run.stderr
    );
    fail(folder.path(), &arguments[..6], &["one.jpg", "--limit"]);
}

#[test]
fn folds_of_coco_are_asked_by_pictures_and_scored_by_class() {
    let folder = folder();
    let options = ["--split", "tiny2017", "--fold", "0"];
    let (table, targets) = asked(folder.path(), "coco-20i", &fixture("coco"), &options);
    assert!(table.contains("FB-IoU"), "{table}");
    assert!(!targets.is_empty());
    for target in &targets {
        assert_eq!(
            (&target["category"], &target["fold"]),
            (&"dog".into(), &0.into())
        );
    }
    let arguments = [
        "eval",
        "coco-20i",
        "--root",
        &fixture("coco"),
        "--split",
        "tiny2017",
    ];
    let arguments = [&arguments[..], &["--out", "other", "--fold"]].concat();
    fail(folder.path(), &[&arguments[..], &["7"]].concat(), &["fold"]);
}

#[test]
fn sounds_are_scored_by_video() {
    let folder = folder();
    let copied = folder.path().join("avsbench");
    copy(&PathBuf::from(fixture("avsbench")), &copied);
    // The fixture's sounds are too short for a model.
    let s4 = copied.join("Single-source/s4_data/audio_wav/val/playing_piano/v2.wav");
    let ms3 = copied.join("Multi-sources/ms3_data/audio_wav/test/m2.wav");
    for wav in [s4, ms3] {
        write_sound(&wav, 16_000, 1.0, tone);
    }
    for (benchmark, part, split, video) in [
        ("avs-s4", "Single-source", "val", "v2"),
        ("avs-ms3", "Multi-sources", "test", "m2"),
    ] {
        let root = copied.join(part).display().to_string();
        let (table, targets) = asked(folder.path(), benchmark, &root, &["--split", split]);
        assert!(
            table.contains("| mIoU |") && table.contains("| F"),
            "{table}"
        );
        assert_eq!(targets.len(), 5);
        assert!(targets.iter().all(|target| target["video"] == video));
    }
}

#[test]
fn regions_of_visual_genome_are_described() {
    let folder = folder();
    let (table, targets) = asked(
        folder.path(),
        "visual-genome",
        &fixture("visual_genome"),
        &[],
    );
    assert!(table.contains("CIDEr"), "{table}");
    assert!(
        targets
            .iter()
            .all(|target| !target["expressions"][0].is_null())
    );
}

#[test]
fn disturbed_scenes_give_a_table_and_names_that_are_none_are_refused() {
    let folder = folder();
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/shapes.json");
    let shapes = shapes.display().to_string();
    let arguments = [
        "eval", "stamps", "--config", &shapes, "--n", "2", "--kind", "text", "--kind", "audio",
    ];
    let asked = [
        &arguments[..],
        &["--out", "out", "--disturb", "noise", "--disturb", "sound-0"],
    ]
    .concat();
    let table = succeed(folder.path(), &asked);
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    assert!(
        rows[0].contains("text (gIoU)") && rows[0].contains("audio (gIoU)"),
        "{table}"
    );
    let names: Vec<&str> = rows[2..]
        .iter()
        .map(|row| row.split(" |").next().unwrap())
        .collect();
    assert_eq!(names, ["| none", "| noise", "| sound-0"], "{table}");
    // Texts have no sound that could be disturbed.
    assert!(rows[4].contains("| – |"), "{table}");
    assert_eq!(succeed(folder.path(), &asked), table);
    let written = fs::read_to_string(folder.path().join("out/robustness.md")).unwrap();
    assert!(table.starts_with(&written));

    // An evaluation with another disturbance is not gone on with.
    let noise = folder.path().join("out/noise");
    fs::write(noise.join("model.txt"), "nano, blur").unwrap();
    fail(folder.path(), &asked, &["noise", "nano, blur", "--out"]);
    let none = [
        &arguments[..],
        &["--out", "none", "--disturb", "earthquake"],
    ]
    .concat();
    fail(folder.path(), &none, &["earthquake", "blur", "sound-20"]);
}
