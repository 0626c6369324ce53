//! `anyref score`, on files of predictions.

mod common;

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyref_decoder::rle::Rle;

#[cfg(unix)]
use serde_json::{Value, json as value};

#[cfg(unix)]
use crate::common::{Run, run_with};
use crate::common::{fail, folder, json, succeed};

/// Writes masks of discs as targets, and predictions shifted to the right by a number of pixels.
fn write_files(folder: &Path, count: usize, side: usize, shifts: &[(&str, f64)]) {
    let disc = |x: f64, y: f64, radius: f64| {
        let inside = |i: usize| {
            let (dx, dy) = ((i % side) as f64 - x, (i / side) as f64 - y);
            dx * dx + dy * dy < radius * radius
        };
        let pixels: Vec<bool> = (0..side * side).map(inside).collect();
        serde_json::to_string(&Rle::from_mask(&pixels, [side, side]).unwrap()).unwrap()
    };
    let place =
        |i: usize, salt: usize| ((i * 7919 + salt * 104_729) % 1000) as f64 / 1000.0 * side as f64;
    let write = |name: &str, shift: f64| {
        let mut lines = String::new();
        for id in 0..count {
            let (x, y, radius) = (place(id, 1), place(id, 2), 4.0 + place(id, 3) / 5.0);
            // The shift grows downwards.
            let mask = disc(x + shift * y / side as f64, y, radius);
            writeln!(
                lines,
                r#"{{"id":{id},"size":[{side},{side}],"text":"","masks":[{mask}]}}"#
            )
            .unwrap();
        }
        std::fs::write(folder.join(name), lines).unwrap();
    };
    write("targets.jsonl", 0.0);
    shifts.iter().for_each(|(name, shift)| write(name, *shift));
}

const FILES: [&str; 4] = ["--targets", "targets.jsonl", "--predictions", "good.jsonl"];

#[test]
fn tables_have_intervals_and_comparisons_a_p() {
    let folder = folder();
    write_files(
        folder.path(),
        40,
        32,
        &[("good.jsonl", 2.0), ("bad.jsonl", 8.0)],
    );
    let alone = succeed(folder.path(), &[&["score", "refcoco"][..], &FILES].concat());
    assert!(alone.contains("RefCOCO, 40 questions"), "{alone}");
    assert!(alone.contains("| score | value (95 %) |"), "{alone}");
    assert_eq!(
        alone
            .lines()
            .filter(|line| line.starts_with("| Pr@"))
            .count(),
        5
    );

    let against = [&["score", "refcoco", "--against", "bad.jsonl"][..], &FILES].concat();
    assert!(succeed(folder.path(), &against).contains("difference (95 %) | p |"));
    let document = json(folder.path(), &against);
    let row = &document["against"]["differences"][0];
    assert_eq!(row["name"], "cIoU");
    assert!(row["difference"].as_f64().unwrap() > 0.1, "{row}");
    assert!(row["p"].as_f64().unwrap() < 0.01, "{row}");
    assert_eq!(
        document,
        json(folder.path(), &against),
        "the same seed draws the same"
    );
    let other = json(folder.path(), &[&against[..], &["--seed", "1"]].concat());
    assert_eq!(document["scores"][0]["value"], other["scores"][0]["value"]);
    assert_ne!(
        document["scores"][0]["interval"],
        other["scores"][0]["interval"]
    );
}

#[test]
fn faults_are_one_line_with_file_and_line() {
    let folder = folder();
    write_files(folder.path(), 3, 16, &[("good.jsonl", 0.0)]);
    let good = std::fs::read_to_string(folder.path().join("good.jsonl")).unwrap();
    let score = [&["score", "refcoco"][..], &FILES].concat();
    let refuse = |text: &str, words: &[&str]| {
        std::fs::write(folder.path().join("good.jsonl"), text).unwrap();
        fail(folder.path(), &score, words);
    };
    let lines: Vec<&str> = good.lines().collect();
    refuse(&good[..good.len() - 9], &["good.jsonl line 3", "cut off"]);
    refuse(
        &lines[..2].join("\n"),
        &["good.jsonl", "no prediction", "targets.jsonl line 3"],
    );
    refuse(
        &[lines[0], lines[0]].join("\n"),
        &["good.jsonl line 2", "line 1"],
    );
    refuse(
        &good.replace("\"id\":1", "\"id\":\"one\""),
        &["good.jsonl line 2", "one", "targets.jsonl"],
    );
    refuse(
        &good.replace("16,16],\"counts", "8,32],\"counts"),
        &["line 1", "8x32", "16x16"],
    );
    refuse(
        &good.replacen("counts\":\"", "counts\":\"~", 1),
        &["good.jsonl line 1", "mask 1", "0x7e"],
    );
    refuse("", &["good.jsonl is empty"]);

    std::fs::write(folder.path().join("good.jsonl"), &good).unwrap();
    fail(
        folder.path(),
        &[&score[..], &["--against", "none.jsonl"]].concat(),
        &["none.jsonl"],
    );
    fail(
        folder.path(),
        &[&score[..], &["--resamples", "0"]].concat(),
        &["--resamples"],
    );
    fail(
        folder.path(),
        &[&["score", "captions"][..], &FILES].concat(),
        &["targets.jsonl line 1", "expressions"],
    );
}

#[test]
fn faults_of_targets_and_of_the_other_system_are_named_too() {
    let folder = folder();
    let files = [("good.jsonl", 0.0), ("bad.jsonl", 4.0)];
    write_files(folder.path(), 3, 16, &files);
    let at = |name: &str| folder.path().join(name);
    let good = std::fs::read_to_string(at("good.jsonl")).unwrap();
    let targets = std::fs::read_to_string(at("targets.jsonl")).unwrap();
    let score = |benchmark: &str, words: &[&str]| {
        let against = ["--against", "bad.jsonl"];
        let arguments = [&["score", benchmark][..], &FILES, &against].concat();
        fail(folder.path(), &arguments, words);
    };
    let lines: Vec<&str> = good.lines().collect();
    std::fs::write(at("bad.jsonl"), lines[..2].join("\n")).unwrap();
    score(
        "refcoco",
        &["bad.jsonl", "no prediction for 1", "targets.jsonl line 3"],
    );
    std::fs::write(at("bad.jsonl"), [lines[0], lines[1], lines[1]].join("\n")).unwrap();
    score("refcoco", &["bad.jsonl line 3", "line 2", "remove one"]);
    std::fs::write(at("bad.jsonl"), [0xff, 0xfe, b'\n', 7]).unwrap();
    score("refcoco", &["bad.jsonl line 1"]);
    std::fs::remove_file(at("bad.jsonl")).unwrap();
    std::fs::create_dir(at("bad.jsonl")).unwrap();
    score("refcoco", &["bad.jsonl"]);
    std::fs::remove_dir(at("bad.jsonl")).unwrap();
    std::fs::write(at("bad.jsonl"), &good).unwrap();

    let rewrite = |text: &str| std::fs::write(at("targets.jsonl"), text).unwrap();
    let rows: Vec<&str> = targets.lines().collect();
    rewrite(&[rows[0], rows[0]].join("\n"));
    score("refcoco", &["targets.jsonl line 2", "line 1"]);
    rewrite(&targets.replacen("counts\":\"", "counts\":\"~", 1));
    score(
        "refcoco",
        &["targets.jsonl line 1", "mask 1", "pycocotools"],
    );
    rewrite(&targets[..targets.len() - 5]);
    score("refcoco", &["targets.jsonl line 3", "cut off"]);
    rewrite("[1, 2]\n");
    score("refcoco", &["targets.jsonl line 1", "\"id\""]);
    rewrite("\n\n");
    score("refcoco", &["targets.jsonl is empty"]);
    rewrite(&targets);
    // Fields that a benchmark needs or does not know.
    score(
        "coco-20i",
        &["targets.jsonl line 1", "\"fold\"", "COCO-20i"],
    );
    score("avs-s4", &["targets.jsonl line 1", "\"video\""]);
    let ignored = targets.replacen(
        "\"masks\"",
        "\"ignore\":{\"size\":[16,16],\"counts\":[256]},\"masks\"",
        1,
    );
    rewrite(&ignored);
    score("refcoco", &["targets.jsonl line 1", "ignore", "leave"]);
    let video = targets.replace("\"id\"", "\"video\":\"v\",\"id\"");
    rewrite(&video);
    let soft = good.replacen("\"id\"", "\"soft\":\"maps/none.png\",\"id\"", 1);
    std::fs::write(at("good.jsonl"), soft).unwrap();
    score("avs-ms3", &["good.jsonl line 1", "none.png", "8-bit grey"]);
}

/// Script in place of Java: recorded answers of METEOR's program, and SPICE's protocol with scores
/// by id.
#[cfg(unix)]
const STAND_IN: &str = r#"#!/bin/sh
echo "$@" >> "$RECORDED/arguments"
for word in "$@"; do
  case "$word" in
    -stdio)
      exec 3< "$RECORDED/asked" 4< "$RECORDED/answered"
      while IFS= read -r line; do
        case "$line" in
          SCORE*) IFS= read -r told <&3
                  IFS= read -r answer <&4
                  [ "$line" = "$told" ] || exit 3
                  echo "$answer" ;;
          EVAL*) cat "$RECORDED/scores" ;;
        esac
      done
      exit 0 ;;
  esac
done
# java MEMORY -jar PROGRAM IN -out OUT -subset -silent
separator="["
for id in $(grep -o '"image_id":[0-9]*' "$4" | cut -d: -f2); do
  printf '%s{"image_id":%s,"scores":{"All":{"pr":1.0,"re":0.1,"f":0.%s}}}' "$separator" "$id" $((id % 8 + 1)) >> "$6"
  separator=","
done
echo "]" >> "$6"
"#;

/// Descriptions with recorded answers of METEOR's program, in files.
#[cfg(unix)]
struct Recorded {
    folder: tempfile::TempDir,
    /// Score of the program for the corpus.
    score: f64,
    descriptions: usize,
}

#[cfg(unix)]
impl Recorded {
    fn new() -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-eval/tests/fixtures");
        let text = std::fs::read_to_string(fixtures.join("meteor.json")).unwrap();
        let recorded: Value = serde_json::from_str(&text).unwrap();
        let program = recorded["program"].as_array().unwrap();
        // The program was given the tokens of these, and then of some texts that are tokens
        // already.
        let text = std::fs::read_to_string(fixtures.join("captions.json")).unwrap();
        let texts: Value = serde_json::from_str(&text).unwrap();
        let texts = texts["samples"].as_array().unwrap();
        let column = |index: usize| -> Vec<&str> {
            program
                .iter()
                .map(|row| row[index].as_str().unwrap())
                .collect()
        };
        let folder = folder();
        let write =
            |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        write("asked", column(0).join("\n"));
        write("answered", column(1).join("\n"));
        let scores = recorded["scores"].as_array().unwrap().iter();
        let scores = scores
            .chain([&recorded["score"]])
            .map(|score| format!("{score}\n"));
        write("scores", scores.collect());
        let (mut targets, mut predictions) = (String::new(), String::new());
        for (id, line) in column(0).iter().enumerate() {
            let mut words = line.split(" ||| ").skip(1).collect::<Vec<_>>();
            let said = words.pop().unwrap();
            let (said, references) = match texts.get(id) {
                Some(sample) => (sample["text"].clone(), sample["expressions"].clone()),
                None => (value!(said), value!(words)),
            };
            let target = value!({"id": id, "size": [4, 4], "masks": [], "expressions": references});
            writeln!(targets, "{target}").unwrap();
            writeln!(
                predictions,
                "{}",
                value!({"id": id, "text": said, "masks": []})
            )
            .unwrap();
        }
        write("targets.jsonl", targets);
        write("good.jsonl", predictions);
        write("meteor-1.5.jar", String::new());
        write("spice-1.0.jar", String::new());
        let recorded = Self {
            score: recorded["score"].as_f64().unwrap(),
            descriptions: program.len(),
            folder,
        };
        recorded.java(STAND_IN);
        recorded
    }

    /// Installs this script as `java`.
    fn java(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let java = self.folder.path().join("java");
        std::fs::write(&java, script).unwrap();
        std::fs::set_permissions(&java, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn score(&self, arguments: &[&str]) -> Run {
        let folder = self.folder.path().display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let score = [&["score", "captions"][..], &FILES, arguments].concat();
        let variables = [("PATH", path.as_str()), ("RECORDED", &folder)];
        run_with(self.folder.path(), &score, "", &variables)
    }

    /// Runs and expects one line that has all of `words`.
    fn fail(&self, arguments: &[&str], words: &[&str]) {
        let run = self.score(arguments);
        assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
        assert_eq!(run.stderr.trim_end().lines().count(), 1, "{}", run.stderr);
        for word in words {
            assert!(run.stderr.contains(word), "no {word:?} in {}", run.stderr);
        }
    }
}

#[cfg(unix)]
const JARS: [&str; 4] = [
    "--meteor-jar",
    "meteor-1.5.jar",
    "--spice-jar",
    "spice-1.0.jar",
];

#[cfg(unix)]
#[test]
fn javas_programs_score_descriptions() {
    let recorded = Recorded::new();
    let run = recorded.score(&[&JARS[..], &["--json"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let table: Value = serde_json::from_str(&run.stdout).unwrap();
    let named = |name: &str| {
        let mut scores = table["scores"].as_array().unwrap().iter();
        let score = scores.find(|score| score["name"] == name);
        score
            .unwrap_or_else(|| panic!("no {name} in {table}"))
            .clone()
    };
    let meteor = named("METEOR");
    assert!(
        (meteor["value"].as_f64().unwrap() - recorded.score).abs() < 1e-6,
        "{meteor}"
    );
    let [low, high] = [0, 1].map(|end| meteor["interval"][end].as_f64().unwrap());
    assert!(
        low < recorded.score && recorded.score < high && high - low < 0.3,
        "{meteor}"
    );
    let spice = (0..recorded.descriptions).map(|id| (id % 8 + 1) as f64 / 10.0);
    let spice = spice.sum::<f64>() / recorded.descriptions as f64;
    assert!((named("SPICE")["value"].as_f64().unwrap() - spice).abs() < 1e-9);
    assert_eq!(table["notes"], value!([]), "nothing is left out");
    let arguments = std::fs::read_to_string(recorded.folder.path().join("arguments")).unwrap();
    assert!(
        arguments.contains("meteor-1.5.jar - - -stdio -l en -norm\n"),
        "{arguments}"
    );
    assert!(arguments.contains("-subset -silent\n"), "{arguments}");

    // One program alone, with a note about the missing score.
    let run = recorded.score(&JARS[..2]);
    assert!(run.stdout.contains("| METEOR | 0.3972"), "{}", run.stdout);
    assert!(run.stdout.contains("--spice-jar"), "{}", run.stdout);
    let run = recorded.score(&[]);
    assert!(run.stdout.contains("--meteor-jar"), "{}", run.stdout);
}

#[cfg(unix)]
#[test]
fn programs_that_fail_are_one_line_with_the_remedy() {
    let recorded = Recorded::new();
    let (meteor, spice) = (&JARS[..2], &JARS[2..]);
    recorded.fail(
        &["--meteor-jar", "none.jar"],
        &["none.jar", "no such file", "pycocoevalcap"],
    );
    // The program ends at once, with a message, without one, or in the middle.
    recorded.java("#!/bin/sh\necho Error: Invalid or corrupt jarfile >&2\nexit 1\n");
    for jar in [meteor, spice] {
        recorded.fail(jar, &[jar[1], "corrupt jarfile", "is it the"]);
    }
    recorded.java("#!/bin/sh\nexit 7\n");
    recorded.fail(spice, &["spice-1.0.jar", "7"]);
    recorded.java("#!/bin/sh\nread line\nsed -n 1p \"$RECORDED/answered\"\n");
    recorded.fail(meteor, &["meteor-1.5.jar", "stopped"]);
    // Another program, or one that scores by other rules.
    recorded.java("#!/bin/sh\nwhile read -r line; do echo hello; done\n");
    recorded.fail(meteor, &["meteor-1.5.jar", "\"hello\""]);
    recorded.java(&STAND_IN.replace("cat \"$RECORDED/scores\"", "yes 0.25 | head -n 999"));
    recorded.fail(meteor, &["meteor-1.5.jar", "\"0.25\""]);
    recorded.java("#!/bin/sh\necho '[]' > \"$6\"\n");
    recorded.fail(spice, &["spice-1.0.jar", "[]"]);
    // Java is missing.
    std::fs::remove_file(recorded.folder.path().join("java")).unwrap();
    let score = [&["score", "captions"][..], &FILES, meteor].concat();
    let nowhere = recorded.folder.path().display().to_string();
    let run = run_with(recorded.folder.path(), &score, "", &[("PATH", &nowhere)]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("install a Java runtime"),
        "{}",
        run.stderr
    );
    // No descriptions to score.
    let masks = [&["score", "refcoco"][..], &FILES, meteor].concat();
    fail(
        recorded.folder.path(),
        &masks,
        &["--meteor-jar", "leave it out"],
    );
}

/// Writes 10,000 masks of 560x560 pixels and prints how long scoring takes:
/// `cargo test --release -p anyref-cli --test score -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn ten_thousand_masks_take_seconds() {
    let folder = folder();
    write_files(
        folder.path(),
        10_000,
        560,
        &[("good.jsonl", 20.0), ("bad.jsonl", 40.0)],
    );
    for more in [&[][..], &["--against", "bad.jsonl"]] {
        let start = Instant::now();
        succeed(
            folder.path(),
            &[&["score", "refcoco"][..], &FILES, more].concat(),
        );
        println!("{more:?}: {:.2} s", start.elapsed().as_secs_f64());
        assert!(start.elapsed().as_secs() < 10);
    }
}
