//! `anyref eval` on data sets in their published layouts.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{copy_folder, fail, folder, pointing, succeed, tone, write_sound};

fn fixture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-data/tests/fixtures/datasets");
    root.join(name).display().to_string()
}

/// Path of the configuration whose scenes need no download.
fn shapes() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/shapes.json");
    file.display().to_string()
}

fn ids(file: &Path) -> Vec<String> {
    let id = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        value["id"].as_str().unwrap().to_owned()
    };
    fs::read_to_string(file).unwrap().lines().map(id).collect()
}

#[test]
fn who_stops_reading_ends_nothing_badly() {
    let folder = folder();
    let mut run = Command::new(env!("CARGO_BIN_EXE_anyref"))
        .args(["eval", "stamps", "--config", &shapes(), "--out", "out"])
        .args(["--kind", "text", "--n", "1", "--candidates", "1"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(run.stdout.take());
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && !said.contains("fault"), "{said}");
    assert!(folder.path().join("out/summary.json").is_file());
}

#[test]
fn another_seed_gives_other_scenes() {
    let folder = folder();
    let config = shapes();
    let shared = ["eval", "stamps", "--config", &config, "--kind", "text"];
    let asked = |out: &str, seed: &[&str]| {
        let more = ["--n", "2", "--candidates", "1", "--out", out];
        succeed(folder.path(), &[&shared[..], &more, seed].concat());
        let cases = fs::read_to_string(folder.path().join(out).join("predictions.jsonl")).unwrap();
        let question = |line: &str| {
            let case: Value = serde_json::from_str(line).unwrap();
            (case["question"].to_string(), case["truth"].as_u64())
        };
        cases.lines().map(question).collect::<Vec<_>>()
    };
    let usual = asked("usual", &[]);
    assert_eq!(usual.len(), 2);
    assert_ne!(asked("other", &["--scene-seed", "77"]), usual);
    // It is not resumed with scenes of another seed.
    let more = ["--n", "3", "--candidates", "1", "--out", "other"];
    fail(folder.path(), &[&shared[..], &more].concat(), &["other"]);
}

#[test]
fn a_benchmark_is_asked_scored_and_gone_on_with() {
    let folder = folder();
    let (root, out) = (fixture("refer"), folder.path().join("out"));
    // Poor masks count as well, because the pictures are no photographs. The model always points.
    let model = ["--model", pointing(), "--max-new-tokens", "1"];
    let shared = [&["--root", &root, "--min-score", "0"][..], &model].concat();
    let arguments = [&["eval", "refcoco", "--out", "out"][..], &shared].concat();
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

    // Throughput, and calibration of the mask scores.
    let summary = || -> Value {
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap()
    };
    let speed = summary()["throughput"].clone();
    assert_eq!(speed["questions"], asked.len());
    let pictures = speed["pictures"].as_u64().unwrap() as usize;
    assert!(0 < pictures && pictures < asked.len(), "{speed}");
    let shares = speed["shares"].as_object().unwrap();
    let sum: f64 = shares.values().map(|share| share.as_f64().unwrap()).sum();
    assert!(
        (sum - 1.0).abs() < 1e-6 && shares["generate"].as_f64() > Some(0.0),
        "{speed}"
    );
    assert_eq!(summary()["scores"][0]["name"], "cIoU");
    let written = fs::read_to_string(out.join("table.md")).unwrap();
    assert!(
        written.contains("questions and") && written.contains("| image | audio |"),
        "{written}"
    );
    let details = fs::read_to_string(out.join("details.md")).unwrap();
    assert!(details.contains("| mask score | n |") && details.contains("calibration error"));

    // The page shows every question at most once a group, sorted, with its references.
    let page = fs::read_to_string(out.join("cases.md")).unwrap();
    for name in ["best", "median", "worst"] {
        assert!(page.contains(&format!("![{name}]({name}.png)")), "{page}");
        let sheet = image::open(out.join(format!("{name}.png"))).unwrap();
        // Two answers in a row, of three pictures each.
        assert!(sheet.width() > 6 * 220, "{}", sheet.width());
    }
    let first = fs::read_to_string(&targets).unwrap();
    let first: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let said = first["references"][0]["text"].as_str().unwrap();
    assert!(page.contains(&format!("| {said} |")), "{said}: {page}");
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
    // One question at a time has the same answers; a finished evaluation keeps its throughput.
    let alone = ["eval", "refcoco", "--out", "alone", "--batch", "1"];
    succeed(folder.path(), &[&alone[..], &shared].concat());
    let alone = fs::read_to_string(folder.path().join("alone/predictions.jsonl")).unwrap();
    let answers = |text: &str| -> Vec<(Value, Value)> {
        let row = |line: &str| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            for mask in row["masks"].as_array_mut().unwrap() {
                mask.as_object_mut().unwrap().remove("score");
            }
            (row["text"].clone(), row["masks"].clone())
        };
        text.lines().map(row).collect()
    };
    assert_eq!(answers(&alone), answers(&whole));
    let speed = summary()["throughput"].clone();
    succeed(folder.path(), &arguments);
    assert_eq!(summary()["throughput"], speed);
    let none = [&arguments[..], &["--batch", "0"]].concat();
    fail(folder.path(), &none, &["--batch"]);
    let other = [&arguments[..], &["--split", "testA"]].concat();
    fail(folder.path(), &other, &["refcoco testA", "--out"]);
    let fewer = [&arguments[..], &["--limit", "1"]].concat();
    fail(folder.path(), &fewer, &["other questions", "--out"]);
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
    let page = fs::read_to_string(folder.path().join("words/cases.md")).unwrap();
    assert!(
        page.contains("| id | ROUGE-L |") && page.contains("| box "),
        "{page}"
    );
    assert!(folder.path().join("words/best.png").is_file());
    let jar = [&described[..], &["--meteor-jar", "none.jar"]].concat();
    fail(folder.path(), &jar, &["none.jar", "pycocoevalcap"]);
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
    copy_folder(&PathBuf::from(fixture("own")), &own);
    let root = own.join("good.jsonl").display().to_string();
    let arguments = ["eval", "own", "--root", &root, "--out", "masks"];
    write_sound(&own.join("dog.wav"), 16_000, 1.0, tone);
    let table = succeed(folder.path(), &arguments);
    assert!(!table.contains("refused"), "{table}");
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
fn a_question_that_is_refused_counts_as_answered_by_nothing() {
    let folder = folder();
    let own = folder.path().join("own");
    copy_folder(&PathBuf::from(fixture("own")), &own);
    // The fixture's sound is too short for a model; a silent one is refused too.
    write_sound(&own.join("still.wav"), 16_000, 1.0, |_| 0.0);
    let good = fs::read_to_string(own.join("good.jsonl")).unwrap();
    let heard = good.lines().find(|line| line.contains("dog.wav")).unwrap();
    let still = heard.replace("dog.wav", "still.wav");
    fs::write(own.join("more.jsonl"), format!("{good}{still}\n")).unwrap();
    let root = own.join("more.jsonl").display().to_string();
    let arguments = ["eval", "own", "--root", &root, "--out", "out"];
    let table = succeed(folder.path(), &arguments);
    let predictions = fs::read_to_string(folder.path().join("out/predictions.jsonl")).unwrap();
    let predictions: Vec<Value> = predictions
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refused: Vec<&Value> = predictions
        .iter()
        .filter(|answer| !answer["refused"].is_null())
        .collect();
    let reasons: Vec<&str> = refused
        .iter()
        .filter_map(|p| p["refused"].as_str())
        .collect();
    assert_eq!(reasons.len(), 2, "{predictions:?}");
    assert!(reasons[0].contains("0.1"), "{reasons:?}");
    assert!(reasons[1].contains("silent"), "{reasons:?}");
    assert!(
        refused
            .iter()
            .all(|p| p["text"] == "" && p["masks"] == Value::Array(Vec::new()))
    );
    let line = format!("2 of {} questions were refused", predictions.len());
    assert!(table.contains(&line), "{table}");
    // It is not asked again, and the file of predictions says the same.
    assert_eq!(succeed(folder.path(), &arguments), table);
    let score = ["score", "refcoco", "--targets", "out/targets.jsonl"];
    let score = [&score[..], &["--predictions", "out/predictions.jsonl"]].concat();
    assert!(succeed(folder.path(), &score).contains(&line));

    let page = fs::read_to_string(folder.path().join("out/cases.md")).unwrap();
    assert!(page.contains("refused: "), "{page}");

    // A sound that cannot be read ends the run.
    fs::write(own.join("still.wav"), "RIFF of nothing").unwrap();
    let other = ["eval", "own", "--root", &root, "--out", "broken"];
    fail(folder.path(), &other, &["still.wav", "again"]);
}

#[test]
fn a_partial_folder_says_what_is_missing() {
    let folder = folder();
    let root = folder.path().join("refer");
    copy_folder(&PathBuf::from(fixture("refer")), &root);
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

#[test]
fn files_that_are_broken_end_a_run_by_name_and_it_goes_on_when_they_are_whole() {
    let folder = folder();
    let root = folder.path().join("refer");
    copy_folder(&PathBuf::from(fixture("refer")), &root);
    let arguments = ["eval", "refcoco", "--root", "refer", "--out", "out"];
    let whole = succeed(folder.path(), &[&arguments[..5], &["whole"]].concat());
    let targets = fs::read_to_string(folder.path().join("whole/targets.jsonl")).unwrap();
    let last: Value = serde_json::from_str(targets.lines().last().unwrap()).unwrap();
    let picture = folder.path().join(last["image"].as_str().unwrap());
    let name = picture.file_name().unwrap().to_str().unwrap();
    let bytes = fs::read(&picture).unwrap();
    for broken in [&b"no picture"[..], &bytes[..bytes.len() / 2]] {
        fs::write(&picture, broken).unwrap();
        fail(folder.path(), &arguments, &[name]);
    }
    image::RgbImage::new(3, 5).save(&picture).unwrap();
    fail(
        folder.path(),
        &arguments,
        &[name, "3x5", "download it again"],
    );
    // Earlier questions were answered.
    let answered = ids(&folder.path().join("out/predictions.jsonl"));
    assert!(!answered.is_empty() && answered.len() < targets.lines().count());
    fs::write(&picture, bytes).unwrap();
    let scores = |table: &str| table.split("best and worst").next().map(str::to_owned);
    assert_eq!(scores(&succeed(folder.path(), &arguments)), scores(&whole));

    let annotations = root.join("refcoco/instances.json");
    let text = fs::read_to_string(&annotations).unwrap();
    fs::write(&annotations, &text[..text.len() / 2]).unwrap();
    fail(
        folder.path(),
        &arguments,
        &["instances.json", "download it"],
    );
    fs::remove_file(&annotations).unwrap();
    fail(
        folder.path(),
        &arguments,
        &["instances.json", "check the path"],
    );
}

#[test]
fn every_reader_says_what_a_partial_folder_lacks() {
    let folder = folder();
    for (benchmark, data, options, lacking) in [
        (
            "pascal-5i",
            "pascal_5i",
            &["--fold", "0"][..],
            "VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg",
        ),
        (
            "pascal-5i",
            "pascal_5i",
            &["--fold", "0"],
            "VOCdevkit/VOC2012/SegmentationClassAug/2008_000501.png",
        ),
        (
            "coco-20i",
            "coco",
            &["--split", "tiny2017", "--fold", "0"],
            "",
        ),
        ("grefcoco", "grefcoco", &[], ""),
        ("visual-genome", "visual_genome", &[], ""),
    ] {
        let root = tempfile::tempdir_in(folder.path()).unwrap();
        copy_folder(&PathBuf::from(fixture(data)), root.path());
        let out = tempfile::tempdir_in(folder.path()).unwrap();
        let at = |path: &Path| path.display().to_string();
        let (root, out) = (at(root.path()), at(out.path()));
        let arguments = [
            "eval", benchmark, "--root", &root, "--out", &out, "--limit", "8",
        ];
        let arguments = [&arguments[..], options].concat();
        let lacking = match lacking {
            "" => {
                succeed(folder.path(), &arguments);
                let targets = fs::read_to_string(Path::new(&out).join("targets.jsonl")).unwrap();
                let first: Value = serde_json::from_str(targets.lines().next().unwrap()).unwrap();
                PathBuf::from(first["image"].as_str().unwrap())
            }
            lacking => Path::new(&root).join(lacking),
        };
        fs::remove_file(&lacking).unwrap();
        let name = lacking.file_name().unwrap().to_str().unwrap();
        fs::remove_dir_all(&out).unwrap();
        let strict: Vec<&str> = arguments
            .iter()
            .copied()
            .filter(|a| !["--limit", "8"].contains(a))
            .collect();
        fail(folder.path(), &strict, &[name, "--limit"]);
        let run = common::run_in(folder.path(), &arguments, "");
        let said = (
            run.stderr.contains("left out"),
            run.stderr.contains("missing"),
        );
        assert!(
            said == (run.code == Some(0), true),
            "{benchmark}: {}",
            run.stderr
        );
        if run.code == Some(0) {
            let summary = fs::read_to_string(Path::new(&out).join("summary.json")).unwrap();
            let summary: Value = serde_json::from_str(&summary).unwrap();
            assert!(summary["left_out"].as_u64() > Some(0), "{summary}");
        }
    }
}

#[test]
fn predictions_of_stamps_that_are_damaged_are_named_by_line() {
    let folder = folder();
    let shapes = shapes();
    let arguments = [
        "eval", "stamps", "--config", &shapes, "--n", "3", "--kind", "text", "--out", "out",
    ];
    let table = succeed(folder.path(), &arguments);
    let file = folder.path().join("out/predictions.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    // The incomplete end of a killed run is dropped and asked again.
    fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    assert_eq!(succeed(folder.path(), &arguments), table);
    fs::write(&file, whole.replacen('{', "(", 1)).unwrap();
    fail(folder.path(), &arguments, &["predictions.jsonl line 1"]);
    for (option, value) in [
        ("--n", "0"),
        ("--batch", "0"),
        ("--kind", "smell"),
        ("--meteor-jar", "m.jar"),
    ] {
        let wrong = [
            "eval", "stamps", "--config", &shapes, "--out", "none", option, value,
        ];
        fail(folder.path(), &wrong, &[option]);
    }
    for option in ["--stamps", "--backgrounds"] {
        let unused = ["eval", "stamps", "--config", &shapes, option, "none"];
        fail(folder.path(), &unused, &[option, "leave it out"]);
    }
    fail(
        folder.path(),
        &["eval", "stamps", "--config", "none.json"],
        &["none.json"],
    );
    fail(
        folder.path(),
        &["eval", "stamps", "--stamps", "none"],
        &["none"],
    );
}

/// Evaluates a benchmark; returns its table and the targets that it wrote.
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
    // The first picture has a polygon that is marked as ignored.
    assert!(of("one")["ignore"]["counts"].is_string(), "{:?}", of("one"));
    assert!(of("two").get("ignore").is_none(), "{:?}", of("two"));
}

#[test]
fn readers_that_look_into_pictures_may_lack_some() {
    let folder = folder();
    copy_folder(
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
fn folds_of_pascal_are_asked_in_episodes() {
    let folder = folder();
    let root = fixture("pascal_5i");
    let options = ["--fold", "0", "--limit", "7"];
    let (table, targets) = asked(folder.path(), "pascal-5i", &root, &options);
    assert!(
        table.contains("PASCAL-5i, 7 questions") && table.contains("FB-IoU"),
        "{table}"
    );
    assert_eq!(targets.len(), 7);
    for target in &targets {
        assert_eq!(target["fold"], 0);
        assert!(target["ignore"]["counts"].is_string(), "{target}");
    }
    // Episodes repeat the list.
    let categories: Vec<&Value> = targets.iter().map(|target| &target["category"]).collect();
    assert_eq!(categories[0], categories[5]);
    let arguments = [
        "eval",
        "pascal-5i",
        "--root",
        &root,
        "--out",
        "other",
        "--fold",
    ];
    fail(
        folder.path(),
        &[&arguments[..], &["4"]].concat(),
        &["folds 0 to 3"],
    );
    let nowhere = ["eval", "pascal-5i", "--root", "nowhere", "--out", "other"];
    fail(folder.path(), &nowhere, &["fold0.txt", "HSNet"]);
}

#[test]
fn sounds_are_scored_by_video() {
    let folder = folder();
    let copied = folder.path().join("avsbench");
    copy_folder(&PathBuf::from(fixture("avsbench")), &copied);
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
    let shapes = shapes();
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
    let page = fs::read_to_string(folder.path().join("out/none/cases.md")).unwrap();
    for name in ["text-best", "text-worst", "audio-median"] {
        assert!(page.contains(&format!("![{name}]({name}.png)")), "{page}");
        assert!(folder.path().join(format!("out/none/{name}.png")).is_file());
    }
    let summary = fs::read_to_string(folder.path().join("out/noise/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["throughput"]["questions"], 4);
    assert_eq!(summary["scores"][0]["kind"], "text");

    // An evaluation with another disturbance is not resumed.
    let noise = folder.path().join("out/noise");
    fs::write(noise.join("settings.txt"), "nano, blur").unwrap();
    fail(folder.path(), &asked, &["noise", "nano, blur", "--out"]);
    let none = [
        &arguments[..],
        &["--out", "none", "--disturb", "earthquake"],
    ]
    .concat();
    fail(folder.path(), &none, &["earthquake", "blur", "sound-20"]);
}

#[test]
fn an_evaluation_goes_on_with_its_own_settings_alone() {
    let folder = folder();
    let shapes = shapes();
    let begun = [
        "eval", "stamps", "--config", &shapes, "--n", "1", "--kind", "text",
    ];
    succeed(folder.path(), &begun);
    let out = folder.path().join("anyref-eval/stamps");
    let predictions = fs::read(out.join("predictions.jsonl")).unwrap();
    for (other, said) in [
        (["--dtype", "f32"], "f32"),
        (["--max-new-tokens", "2"], "2 tokens"),
        (["--temperature", "0.5"], "temperature 0.5"),
        (["--min-score", "0.5"], "0.5"),
        (["--candidates", "2"], "2 answers"),
    ] {
        let again = [&begun[..], &other].concat();
        fail(
            folder.path(),
            &again,
            &["anyref-eval/stamps", said, "--out"],
        );
    }
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&shapes).unwrap()).unwrap();
    config["scenes"]["objects"] = serde_json::json!([2, 2]);
    fs::write(folder.path().join("two.json"), config.to_string()).unwrap();
    let two = [
        "eval", "stamps", "--config", "two.json", "--n", "1", "--kind", "text",
    ];
    fail(folder.path(), &two, &["anyref-eval/stamps", "--out"]);

    // Another benchmark has a folder of its own, and leaves a foreign one unchanged.
    let root = fixture("refer");
    let refer = ["eval", "refcoco", "--root", &root, "--limit", "1"];
    succeed(folder.path(), &refer);
    assert!(
        folder
            .path()
            .join("anyref-eval/refcoco/targets.jsonl")
            .is_file()
    );
    let into = [&refer[..], &["--out", "anyref-eval/stamps"]].concat();
    fail(folder.path(), &into, &["anyref-eval/stamps", "--out"]);
    fs::remove_file(out.join("settings.txt")).unwrap();
    fail(folder.path(), &into, &["predictions.jsonl", "--out"]);
    let kept = fs::read(out.join("predictions.jsonl")).unwrap();
    assert_eq!(kept, predictions);
    assert!(!out.join("settings.txt").exists());

    // Equal names do not make other questions the same.
    let own = Path::new(&fixture("own")).join("good.jsonl");
    let own = own.display().to_string();
    let copied = folder.path().join("own");
    copy_folder(Path::new(&fixture("own")), &copied);
    let first = ["eval", "own", "--root", &own, "--limit", "1"];
    succeed(folder.path(), &first);
    let other = ["eval", "own", "--root", "own/good.jsonl", "--limit", "1"];
    fail(folder.path(), &other, &["anyref-eval/own", "--out"]);
}

#[test]
fn options_that_a_benchmark_has_no_use_for_are_refused() {
    let folder = folder();
    for (benchmark, option) in [
        ("stamps", &["--limit", "1"][..]),
        ("stamps", &["--split", "val"]),
        ("stamps", &["--root", "x"]),
        ("stamps", &["--describe"]),
        ("stamps", &["--fold", "0"]),
        ("refcoco", &["--n", "1"]),
        ("refcoco", &["--kind", "text"]),
        ("refcoco", &["--disturb", "blur"]),
        ("refcoco", &["--config", "x.json"]),
        ("refcoco", &["--fold", "1"]),
        ("grefcoco", &["--split-by", "unc"]),
        ("pascal-5i", &["--split", "val"]),
        ("own", &["--split", "val"]),
    ] {
        let arguments = [&["eval", benchmark], option].concat();
        fail(
            folder.path(),
            &arguments,
            &[benchmark, option[0], "leave it out"],
        );
    }
    let nothing = ["eval", "refcoco", "--root", "x", "--limit", "0"];
    fail(folder.path(), &nothing, &["--limit", "at least 1"]);
    fs::write(folder.path().join("bad.json"), "{\"steps\": 3}").unwrap();
    let bad = ["eval", "stamps", "--config", "bad.json"];
    fail(folder.path(), &bad, &["bad.json"]);
}
