//! `cargo xtask plot`: the curves of a training run as an SVG file, and validation pictures.

pub mod axis;
pub mod curves;
pub mod panel;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::train::{self, Passed};

use axis::Axis;
use curves::Stage;
use panel::Panel;

/// Options of `plot`.
#[derive(Debug, Args)]
pub struct Plot {
    /// Folder of a run, which has a metrics.jsonl
    run: PathBuf,
    /// Output picture [default: RUN/curves.svg]
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
    /// Draw only the curves
    #[arg(long)]
    no_pictures: bool,
    /// Options of `anyref pictures`, which draws RUN/validation.png; `--help` lists them
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

/// Draws the curves and, once the run has a checkpoint of a stage of instructions, validation
/// pictures.
pub fn run(options: &Plot) -> Result<()> {
    let metrics = options.run.join("metrics.jsonl");
    let text = fs::read_to_string(&metrics)
        .with_context(|| format!("cannot read {}", metrics.display()))?;
    // Without a config the stages have numbers only.
    let config = fs::read_to_string(options.run.join("config.json")).unwrap_or_default();
    let stages = curves::read(&text, &config);
    ensure!(
        !stages.is_empty(),
        "{} has no metrics yet",
        metrics.display()
    );
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| options.run.join("curves.svg"));
    fs::write(&out, draw(&stages)?).with_context(|| format!("cannot write {}", out.display()))?;
    println!("{}", out.display());
    match options.no_pictures || !points(&options.run, &config) {
        true => Ok(()),
        false => pictures(options),
    }
}

/// Returns whether a run has a checkpoint of an instruction stage, or of a later one.
fn points(run: &Path, config: &str) -> bool {
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let stages = config["stages"].as_array().map_or(&[][..], Vec::as_slice);
    let first = stages.iter().position(|stage| stage["kind"] == "instruct");
    let reached = fs::read_dir(run.join("checkpoints"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.ends_with(".partial"))
        .filter_map(|name| name.strip_prefix("stage-")?.split('-').next()?.parse().ok())
        .max();
    first
        .zip(reached)
        .is_some_and(|(first, reached): (usize, usize)| first <= reached)
}

fn pictures(options: &Plot) -> Result<()> {
    let path = |path: &Path| path.display().to_string();
    let mut passed = vec![
        "--config".into(),
        path(&options.run.join("config.json")),
        "--run".into(),
        path(&options.run),
        "--out".into(),
        path(&options.run.join("validation.png")),
    ];
    passed.extend(options.options.iter().cloned());
    train::run("pictures", &Passed::new(passed))
}

/// Draws one row a stage: losses on the left, scores on the right.
fn draw(stages: &[Stage]) -> Result<String> {
    let panels: Vec<_> = stages
        .iter()
        .flat_map(|stage| {
            let losses = stage.losses.iter().flat_map(|curve| curve.values());
            let x = Axis::linear(0.0, stage.last_step.max(1.0));
            [
                ("losses", &stage.losses, Axis::logarithmic(losses)),
                ("scores", &stage.scores, Axis::linear(0.0, 1.0)),
            ]
            .map(|(what, curves, y)| Panel {
                title: format!("{}: {what}", stage.name),
                curves,
                across: "step".to_owned(),
                x,
                y,
            })
        })
        .collect();
    panel::page(2, &panels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"
{"kind":"train","stage":0,"step":0,"bce":0.7,"iou":0.1,"seconds":1.0,"learning_rate":0.1}
{"kind":"train","stage":0,"step":1,"bce":0.0,"iou":0.2,"seconds":1.0,"learning_rate":0.1}
{"kind":"validation","stage":0,"step":2,"iou":0.3,"language":2.0}
{"kind":"train","stage":1,"step":0,"sound":3.0}
{"kind":"train","stage":1,"step":"#;

    #[test]
    fn pictures_wait_for_a_checkpoint_of_instructions() {
        let run = tempfile::tempdir().unwrap();
        let config = r#"{"stages": [{"kind": "clip"}, {"kind": "instruct"}]}"#;
        let checkpoints = run.path().join("checkpoints");
        assert!(!points(run.path(), config));
        for (name, expected) in [
            ("stage-0-step-00000100", false),
            ("stage-1-step-00000001.partial", false),
            ("stage-1-step-00000001", true),
        ] {
            fs::create_dir_all(checkpoints.join(name)).unwrap();
            assert_eq!(points(run.path(), config), expected, "{name}");
        }
        assert!(!points(run.path(), r#"{"stages": [{"kind": "clip"}]}"#));
        assert!(!points(run.path(), ""));
    }

    #[test]
    fn losses_and_scores_are_told_apart_and_a_torn_line_does_no_harm() {
        let stages = curves::read(METRICS, r#"{"stages": [{"kind": "instruct"}]}"#);
        let names = |curves: &[curves::Curve]| -> Vec<String> {
            curves.iter().map(|curve| curve.name.clone()).collect()
        };
        assert_eq!(stages.len(), 2);
        assert_eq!(stages[0].name, "instruct");
        assert_eq!(names(&stages[0].losses), ["bce", "language (val)"]);
        assert_eq!(names(&stages[0].scores), ["iou", "iou (val)"]);
        assert_eq!(names(&stages[1].losses), ["sound"]);
        let svg = draw(&stages).unwrap();
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"));
    }
}
