//! `cargo xtask plot`: the curves of a training run as an SVG file.

pub mod axis;
pub mod curves;
pub mod panel;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use axis::Axis;
use curves::Stage;
use panel::Panel;

/// Options of `plot`.
#[derive(Debug, Args)]
pub struct Plot {
    /// Folder of a run, which has a metrics.jsonl
    run: PathBuf,
    /// The picture [default: RUN/curves.svg]
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
}

/// Draws the curves.
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
    fs::write(&out, draw(&stages)).with_context(|| format!("cannot write {}", out.display()))?;
    println!("{}", out.display());
    Ok(())
}

/// One row a stage: losses on the left, scores on the right.
fn draw(stages: &[Stage]) -> String {
    let panels: Vec<_> = stages
        .iter()
        .flat_map(|stage| {
            let losses = stage.losses.iter().flat_map(|curve| curve.values());
            let x = Axis::linear(0.0, stage.last_step.max(1.0));
            [
                ("losses", &stage.losses, Axis::logarithmic(losses)),
                ("scores", &stage.scores, Axis::linear(0.0, 1.0)),
            ]
            .map(|(what, curves, y)| {
                let panel = Panel {
                    title: format!("{}: {what}", stage.name),
                    curves,
                    across: "step".to_owned(),
                    y,
                };
                (panel, x)
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
        let svg = draw(&stages);
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"));
    }
}
