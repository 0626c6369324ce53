//! `cargo xtask check-published`: a published model asked about the bundled photograph.
//!
//! For people who have the weights or a connection to download them. The positions of the objects
//! in the photograph are known, the model's exact masks are not, so a mask passes if its box is
//! near the object's.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;

use crate::cargo::{BACKENDS, built, root};

/// Options of `check-published`.
#[derive(Debug, Args)]
pub struct CheckPublished {
    /// Model: hf://org/name, which is downloaded, or a folder
    #[arg(long, value_name = "DIR|LOCATION")]
    pub model: String,
    /// CLIP's folder, as in `anyref --clip` [default: the one that the model's config names,
    /// downloaded]
    #[arg(long, value_name = "DIR")]
    pub clip: Option<PathBuf>,
    /// Questions to ask [default: by the model's name]
    #[arg(long)]
    pub questions: Option<Questions>,
    /// Backend
    #[arg(long, default_value = "flex", value_parser = BACKENDS)]
    pub backend: String,
    /// Data type of the weights, as in `anyref --dtype`
    #[arg(long, default_value = "auto", value_name = "TYPE")]
    pub dtype: String,
    /// Folder for the report and the pictures with their masks
    #[arg(long, default_value = "runs/check-published", value_name = "DIR")]
    pub out: PathBuf,
}

/// Groups of questions in `checks.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Questions {
    /// Phrases and reasoning, for LISA and its kin.
    Words,
    /// Phrases, reasoning and explanations.
    Explanatory,
    /// Points and boxes, for SAM alone.
    Prompts,
}

/// Content of the file of questions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    picture: String,
    /// Width and height in pixels.
    size: [f64; 2],
    words: Vec<Check>,
    explanatory: Vec<Check>,
    prompts: Vec<Check>,
}

/// Question with a known answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    name: String,
    /// Arguments of `anyref segment`.
    ask: Vec<String>,
    /// Box of the object, `[x0, y0, x1, y1]` in pixels.
    #[serde(rename = "box")]
    bounds: [f64; 4],
    /// Smallest IoU of the answer's box with it.
    iou: f64,
    /// Smallest number of words in the answer.
    #[serde(default)]
    words: usize,
}

/// Outcome of a question.
#[derive(Debug, PartialEq)]
struct Outcome {
    text: String,
    iou: f64,
    passed: bool,
}

/// Loads the model strictly, asks, and writes a report.
pub fn run(options: &CheckPublished) -> Result<()> {
    let folder = root().join("assets/published");
    let checks = read(&folder)?;
    let features = match options.backend.as_str() {
        "flex" => Vec::new(),
        backend => vec![format!("anyref-cli/{backend}")],
    };
    let program = built("anyref", &features)?;
    std::fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot write {}", options.out.display()))?;
    let anyref = |command: &str| {
        let mut anyref = Command::new(&program);
        anyref.args([command, "--model", &options.model]);
        anyref.args(["--backend", &options.backend, "--dtype", &options.dtype]);
        if let Some(clip) = &options.clip {
            anyref.arg("--clip").arg(clip);
        }
        anyref
    };
    let questions = options
        .questions
        .unwrap_or_else(|| Questions::of(&options.model));
    let about = succeeded(anyref("info").output(), &options.model)?;
    println!("{about}");
    let mut table = String::from(
        "| question | answer | IoU with the thing's box | at least | seconds | |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    let (mut failed, mut asked) = (0, 0);
    for check in checks.of(questions) {
        let overlay = options
            .out
            .join(format!("{}.png", check.name.replace(' ', "-")));
        let start = Instant::now();
        let mut segment = anyref("segment");
        segment.arg("--image").arg(folder.join(&checks.picture));
        segment
            .args(&check.ask)
            .arg("--json")
            .arg("--overlay")
            .arg(&overlay);
        let output = succeeded(segment.output(), &check.name)?;
        let answer = serde_json::from_str(&output)
            .with_context(|| format!("unexpected output: {output}"))?;
        let outcome = judge(check, &answer);
        asked += 1;
        failed += usize::from(!outcome.passed);
        writeln!(
            table,
            "| {} | {} | {:.2} | {:.2} | {:.0} | {} |",
            check.name,
            outcome.text.replace('|', "\\|").replace('\n', " "),
            outcome.iou,
            check.iou,
            start.elapsed().as_secs_f64(),
            if outcome.passed { "passed" } else { "failed" }
        )?;
    }
    let report = options.out.join("report.md");
    let text = format!(
        "# {}\n\n```text\n{}\n```\n\n{table}",
        options.model,
        about.trim_end()
    );
    std::fs::write(&report, text).with_context(|| format!("cannot write {}", report.display()))?;
    println!("{table}\n{}", report.display());
    if failed > 0 {
        bail!(
            "{failed} of {asked} answers point elsewhere: look at the pictures beside the report"
        );
    }
    Ok(())
}

impl Questions {
    /// Questions for a model, by its name: `explanatory` in it, or `sam` at its start, select the
    /// other groups.
    fn of(model: &str) -> Self {
        let name = model
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or(model);
        let name = name.to_ascii_lowercase();
        match name {
            _ if name.contains("explanatory") => Self::Explanatory,
            _ if name.starts_with("sam") => Self::Prompts,
            _ => Self::Words,
        }
    }
}

impl Checks {
    /// Questions of a group; explanations are added to phrases.
    fn of(&self, questions: Questions) -> Vec<&Check> {
        match questions {
            Questions::Words => self.words.iter().collect(),
            Questions::Explanatory => self.words.iter().chain(&self.explanatory).collect(),
            Questions::Prompts => self.prompts.iter().collect(),
        }
    }
}

fn read(folder: &Path) -> Result<Checks> {
    let file = folder.join("checks.json");
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let checks: Checks =
        serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
    let all = [&checks.words, &checks.explanatory, &checks.prompts];
    for check in all.into_iter().flatten() {
        let [x0, y0, x1, y1] = check.bounds;
        let inside = x1 <= checks.size[0] && y1 <= checks.size[1];
        if !(0.0 <= x0 && x0 < x1 && 0.0 <= y0 && y0 < y1 && inside) {
            bail!(
                "{}: the box of {} is not in the picture",
                file.display(),
                check.name
            );
        }
    }
    Ok(checks)
}

/// Standard output of a program that succeeded.
fn succeeded(output: std::io::Result<Output>, asked: &str) -> Result<String> {
    let output = output.context("cannot start anyref")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let message = message.trim();
        let message = message.strip_prefix("error: ").unwrap_or(message);
        // The program may have named it.
        match message.contains(asked) {
            true => bail!("{message}"),
            false => bail!("{asked}: {message}"),
        }
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Compares an answer of `anyref segment --json` with the known box.
fn judge(check: &Check, answer: &Value) -> Outcome {
    let text = answer["text"].as_str().unwrap_or_default().to_owned();
    let masks = answer["masks"].as_array().into_iter().flatten();
    let boxes = masks.filter_map(|mask| serde_json::from_value(mask["box"].clone()).ok());
    let found = boxes.reduce(around);
    let iou = found.map_or(0.0, |found| iou(found, check.bounds));
    let passed = iou >= check.iou && text.split_whitespace().count() >= check.words;
    Outcome { text, iou, passed }
}

/// Bounding box of two boxes.
fn around(one: [f64; 4], other: [f64; 4]) -> [f64; 4] {
    [
        one[0].min(other[0]),
        one[1].min(other[1]),
        one[2].max(other[2]),
        one[3].max(other[3]),
    ]
}

/// Intersection over union of two boxes.
fn iou(one: [f64; 4], other: [f64; 4]) -> f64 {
    let area = |[x0, y0, x1, y1]: [f64; 4]| (x1 - x0).max(0.0) * (y1 - y0).max(0.0);
    let common = area([
        one[0].max(other[0]),
        one[1].max(other[1]),
        one[2].min(other[2]),
        one[3].min(other[3]),
    ]);
    let union = area(one) + area(other) - common;
    if union > 0.0 { common / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_questions_are_about_things_inside_the_picture() {
        let folder = root().join("assets/published");
        let checks = read(&folder).unwrap();
        assert!(folder.join(&checks.picture).is_file());
        for questions in Questions::value_variants() {
            let group = checks.of(*questions);
            assert!(group.len() > 1);
            for check in group {
                assert!(!check.ask.is_empty() && (0.0..=1.0).contains(&check.iou));
            }
        }
    }

    #[test]
    fn answers_count_when_they_are_where_the_thing_is() {
        let check = Check {
            name: "cup".into(),
            ask: Vec::new(),
            bounds: [10.0, 10.0, 20.0, 20.0],
            iou: 0.5,
            words: 2,
        };
        let judged = |text: &str, boxes: &[[u32; 4]]| {
            let masks: Vec<Value> = boxes.iter().map(|found| json!({"box": found})).collect();
            judge(&check, &json!({"text": text, "masks": masks}))
        };
        assert!(judged("It is.", &[[10, 10, 20, 20]]).passed);
        // Masks of one object in two parts.
        let parts = judged("It is.", &[[10, 10, 15, 20], [15, 10, 20, 18]]);
        assert_eq!((parts.iou, parts.passed), (1.0, true));
        assert_eq!(judged("It is.", &[[15, 10, 25, 20]]).iou, 50.0 / 150.0);
        assert!(!judged("It is.", &[[15, 10, 25, 20]]).passed);
        assert!(!judged("It.", &[[10, 10, 20, 20]]).passed);
        assert_eq!(judged("It is.", &[]).iou, 0.0);
    }

    #[test]
    fn names_tell_the_questions() {
        for (model, questions) in [
            ("hf://xinlai/LISA-7B-v1", Questions::Words),
            (
                "hf://xinlai/LISA-13B-llama2-v1-explanatory",
                Questions::Explanatory,
            ),
            ("hf://facebook/sam-vit-huge", Questions::Prompts),
            ("weights/sam_vit_h_4b8939.pth", Questions::Prompts),
            ("models/lisa/", Questions::Words),
        ] {
            assert_eq!(Questions::of(model), questions, "{model}");
        }
    }
}
