//! `cargo xtask check-published` from end to end, with a hub on this machine that has a tiny LISA
//! of random weights and the CLIP that its config names.

#[path = "../../anyref-weights/tests/common/hub_server.rs"]
mod hub_server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hub_server::{Damage, HubServer, Repository};
use serde_json::Value;
use tempfile::TempDir;

const MODEL: &str = "hf://xinlai/LISA-tiny";
const SHARD: &str = "pytorch_model-00001-of-00002.bin";

/// A file or folder of the workspace.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Folder of the workspace's programs: that of this test's, where `anyref` lies too once the
/// workspace's tests are built, and is built now where it does not.
fn programs() -> PathBuf {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let folder = xtask.parent().unwrap();
    let anyref = format!("anyref{}", std::env::consts::EXE_SUFFIX);
    if !folder.join(&anyref).is_file() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--workspace", "--bin", "anyref"]);
        build.args((!cfg!(debug_assertions)).then_some("--release"));
        assert!(build.current_dir(file("")).status().unwrap().success());
    }
    folder.to_owned()
}

struct Test {
    server: HubServer,
    home: TempDir,
}

impl Test {
    fn new() -> Self {
        let server = HubServer::start();
        let fixtures = file("anyref-core/tests/fixtures");
        for (name, commit, folder) in [
            ("xinlai/LISA-tiny", "abcdef01", "lisa"),
            ("openai/clip-vit-large-patch14", "abcdef02", "clip"),
        ] {
            let repository = Repository::of_folder(commit, &fixtures.join(folder));
            server.publish(name, "main", repository);
        }
        Self {
            server,
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs a program of the workspace with the hub at hand.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let programs = programs();
        let mut command = Command::new(programs.join(program));
        command.args(arguments).current_dir(self.home.path());
        command.env("ANYREF_PROGRAMS", programs);
        command.env_remove("RUST_BACKTRACE");
        for (name, value) in self.server.environment(self.home.path()) {
            match value.is_empty() {
                true => command.env_remove(name),
                false => command.env(name, value),
            };
        }
        command.output().unwrap()
    }

    /// Runs the task, and returns its exit status and what it says on stderr.
    fn check(&self) -> (Option<i32>, String) {
        let asked = ["check-published", "--model", MODEL, "--out", "checked"];
        let output = self.run("xtask", &asked);
        let message = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), message.trim_end().to_owned())
    }

    fn report(&self) -> PathBuf {
        self.home.path().join("checked/report.md")
    }

    /// Paths that were asked for.
    fn asked(&self) -> Vec<String> {
        let requests = self.server.requests().into_iter();
        requests.map(|request| request.path).collect()
    }
}

/// The rows of the report's table, cell by cell, without its head.
fn rows(report: &str) -> Vec<Vec<String>> {
    let rows = report.lines().filter(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.skip(2).map(cells).collect()
}

/// Intersection over union of the box around all masks of an answer with another.
fn iou(answer: &Value, thing: [f64; 4]) -> f64 {
    let masks = answer["masks"].as_array().unwrap();
    let side = |index: usize| masks.iter().map(move |m| m["box"][index].as_f64().unwrap());
    let least = |index| side(index).fold(f64::INFINITY, f64::min);
    let most = |index| side(index).fold(f64::NEG_INFINITY, f64::max);
    if masks.is_empty() {
        return 0.0;
    }
    let found = [least(0), least(1), most(2), most(3)];
    let width = (found[2].min(thing[2]) - found[0].max(thing[0])).max(0.0);
    let height = (found[3].min(thing[3]) - found[1].max(thing[1])).max(0.0);
    let area = |b: [f64; 4]| (b[2] - b[0]) * (b[3] - b[1]);
    width * height / (area(found) + area(thing) - width * height)
}

#[test]
fn a_model_of_the_hub_is_fetched_loaded_and_asked() {
    let test = Test::new();
    let (code, message) = test.check();
    let asked = test.asked();
    for part in ["xinlai/LISA-tiny", "openai/clip-vit-large-patch14"] {
        let from = format!("/{part}/resolve/");
        assert!(asked.iter().any(|path| path.starts_with(&from)), "{part}");
    }
    let report = std::fs::read_to_string(test.report()).expect(&message);
    assert!(report.starts_with(&format!("# {MODEL}\n")), "{report}");
    for line in ["preset      LISA-tiny", "language model", "object head"] {
        assert!(report.contains(line), "no {line:?} in {report}");
    }
    // Each row holds what the program itself answers.
    let checks = std::fs::read(file("assets/published/checks.json")).unwrap();
    let checks: Value = serde_json::from_slice(&checks).unwrap();
    let rows = rows(&report);
    let words = checks["words"].as_array().unwrap();
    assert_eq!(rows.len(), words.len(), "{report}");
    let picture = file("assets/published/coffee.jpg").display().to_string();
    let mut failed = 0;
    for (row, check) in rows.iter().zip(words) {
        let name = check["name"].as_str().unwrap();
        let ask = check["ask"].as_array().unwrap().iter();
        let segment = ["segment", "--json", "--model", MODEL, "--image", &picture];
        let segment = segment.into_iter().chain(ask.map(|w| w.as_str().unwrap()));
        let output = test.run("anyref", &segment.collect::<Vec<_>>());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let thing: [f64; 4] = serde_json::from_value(check["box"].clone()).unwrap();
        let found = iou(&answer, thing);
        let least = check["iou"].as_f64().unwrap();
        failed += usize::from(found < least);
        assert_eq!(row[0], name);
        assert_eq!(row[2..4], [format!("{found:.2}"), format!("{least:.2}")]);
        assert_eq!(row[5], if found < least { "failed" } else { "passed" });
        let overlay = test.home.path().join("checked").join(name);
        let [width, height] = image_size(&overlay.with_extension("png"));
        // Question and answer stand below the picture.
        assert!(width == 600 && height > 400, "{name}: {width}x{height}");
    }
    // Weights drawn at random do not point at the things.
    assert!(failed > 0);
    let words = format!(
        "Error: {failed} of {} answers point elsewhere: look at the pictures beside the report",
        rows.len()
    );
    assert_eq!((code, message), (Some(1), words));
}

/// Width and height of a PNG file, by its header.
fn image_size(file: &Path) -> [u32; 2] {
    let bytes = std::fs::read(file).unwrap();
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    [number(16), number(20)]
}

#[test]
fn a_damaged_download_ends_in_one_line_and_the_next_run_goes_on() {
    let test = Test::new();
    test.server.damage(SHARD, Damage::Byte);
    let (code, message) = test.check();
    assert_eq!(code, Some(1), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(
        message.starts_with(&format!("Error: {MODEL}: ")),
        "{message}"
    );
    for words in [SHARD, "is damaged", "removed", "run it again"] {
        assert!(message.contains(words), "no {words:?} in {message}");
    }
    assert!(!message.contains("error: "), "{message}");
    assert!(!test.report().exists());
    test.asked();
    let (_, message) = test.check();
    assert!(test.report().is_file(), "{message}");
    let again = test.asked();
    let fetched = |name: &str| {
        let whole = |path: &&String| path.contains("LISA-tiny") && path.ends_with(name);
        again.iter().any(|path| whole(&path))
    };
    assert!(fetched(SHARD), "{again:?}");
    assert!(
        !fetched("/config.json"),
        "what was whole is kept: {again:?}"
    );
}
