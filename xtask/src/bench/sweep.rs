//! Growth of a training step's time with the batch, the sequence length and the size of the
//! picture.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::statistics::median;
use crate::cargo::root;
use crate::plot::axis::Axis;
use crate::plot::curves::Curve;
use crate::plot::panel::{self, Panel};

/// Scenes a step.
const BATCHES: [u64; 5] = [1, 2, 4, 8, 16];
/// Sides of CLIP's picture, whose patches are most of the language model's input.
const CLIP_SIDES: [u64; 5] = [96, 144, 192, 240, 288];
/// Sides of SAM's picture.
const SAM_SIDES: [u64; 4] = [128, 192, 256, 320];
/// Scenes a step while another size grows.
const BATCH: u64 = 4;

/// Series of one growing size.
struct Series {
    title: &'static str,
    /// Unit of the size.
    unit: &'static str,
    /// Configurations with their sizes.
    points: Vec<(f64, Value)>,
}

/// Measures every point by `seconds`, which returns the seconds of some steps; draws the medians,
/// and writes the numbers beside the drawing.
pub fn run(config: &Value, out: &Path, seconds: impl Fn(&Value) -> Result<Vec<f64>>) -> Result<()> {
    let config = with_model(config)?;
    let mut lines = String::new();
    let mut panels = Vec::new();
    for series in all(&config) {
        let mut points = Vec::new();
        for (count, config) in &series.points {
            let steps = seconds(config)?;
            let middle = median(&steps);
            println!("{}: {count} {}: {middle:.3} s", series.title, series.unit);
            lines += &json!({
                "series": series.title, series.unit: count, "median": middle, "seconds": steps
            })
            .to_string();
            lines.push('\n');
            points.push((*count, middle));
        }
        panels.push((series.title, series.unit, points));
    }
    fs::write(out, draw(&panels)?).with_context(|| format!("cannot write {}", out.display()))?;
    let numbers = out.with_extension("jsonl");
    fs::write(&numbers, lines).with_context(|| format!("cannot write {}", numbers.display()))?;
    println!("{}, {}", out.display(), numbers.display());
    Ok(())
}

/// Configuration with the model's sizes written out, and one micro-batch a step.
fn with_model(config: &Value) -> Result<Value> {
    let mut config = config.clone();
    if config["model"].is_string() {
        let file = root().join("assets/nano/config.json");
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        config["model"] = serde_json::from_str(&text)?;
    }
    let stage = &mut config["stages"][0];
    stage["accumulation"] = json!(1);
    stage["parallel"] = json!(false);
    stage["batch"] = json!(BATCH);
    Ok(config)
}

fn all(config: &Value) -> [Series; 3] {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut config = config.clone();
        change(&mut config);
        config
    };
    let batches = BATCHES.map(|batch| {
        let config = changed(&|config| config["stages"][0]["batch"] = json!(batch));
        (batch as f64, config)
    });
    let patch = config["model"]["vision_tower"]["patch_size"].as_u64();
    let patch = patch.unwrap_or(1).max(1);
    let lengths = CLIP_SIDES.map(|side| {
        let config = changed(&|config| config["model"]["vision_tower"]["image_size"] = json!(side));
        ((side / patch).pow(2) as f64, config)
    });
    let cell = config["model"]["image_encoder"]["patch_size"].as_u64();
    let cell = cell.unwrap_or(1).max(1);
    let sides = SAM_SIDES.map(|side| {
        let config = changed(&|config| {
            let model = &mut config["model"];
            model["image_encoder"]["image_size"] = json!(side);
            model["prompt_encoder"]["input_image_size"] = json!(side);
            model["prompt_encoder"]["image_embedding_size"] = json!(side / cell);
        });
        (side as f64, config)
    });
    [
        Series {
            title: "batch",
            unit: "scenes",
            points: batches.into(),
        },
        Series {
            title: "length of the sequence",
            unit: "tokens of the picture",
            points: lengths.into(),
        },
        Series {
            title: "size of SAM's picture",
            unit: "pixels",
            points: sides.into(),
        },
    ]
}

/// Title, unit and points of a curve.
type Drawn<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

/// Draws one panel a series, stacked vertically.
fn draw(series: &[Drawn<'_>]) -> Result<String> {
    let drawn: Vec<_> = series
        .iter()
        .map(|(title, unit, points)| {
            let curve = Curve {
                name: "seconds a step".into(),
                validation: true,
                points: points.clone(),
            };
            (title, unit, curve)
        })
        .collect();
    let panels: Vec<_> = drawn
        .iter()
        .map(|(title, unit, curve)| {
            let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
            let x = largest(&mut curve.points.iter().map(|point| point.0));
            Panel {
                title: (**title).to_owned(),
                curves: std::slice::from_ref(curve),
                across: (**unit).to_owned(),
                x: Axis::linear(0.0, x),
                y: Axis::linear(0.0, 1.1 * largest(&mut curve.values()).max(1e-3)),
            }
        })
        .collect();
    panel::page(1, &panels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nano() -> Value {
        let stage = json!({ "kind": "instruct", "batch": 8, "accumulation": 2, "parallel": true });
        with_model(&json!({ "model": "nano", "stages": [stage] })).unwrap()
    }

    #[test]
    fn one_thing_grows_at_a_time() {
        let config = nano();
        let series = all(&config);
        for series in &series {
            let counts: Vec<_> = series.points.iter().map(|point| point.0).collect();
            assert!(counts.is_sorted() && counts.len() > 3, "{counts:?}");
            // One of the points is the unchanged configuration.
            let same = series.points.iter().filter(|point| point.1 == config);
            assert_eq!(same.count(), 1, "{}", series.title);
        }
        let embedding =
            |config: &Value| config["model"]["prompt_encoder"]["image_embedding_size"].clone();
        assert_eq!(embedding(&series[2].points[2].1), 32);
        assert_eq!(series[1].points[0].0, 64.0);
    }

    #[test]
    fn medians_are_drawn_and_all_numbers_kept() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("sweep.svg");
        let seconds = |config: &Value| {
            let batch = config["stages"][0]["batch"].as_f64().unwrap();
            Ok(vec![batch, 9.0 * batch, 2.0 * batch])
        };
        run(&nano(), &out, seconds).unwrap();
        let svg = fs::read_to_string(&out).unwrap();
        assert!(svg.lines().any(|line| line == "tokens of the picture"));
        assert!(!svg.contains("NaN"));
        let lines = fs::read_to_string(folder.path().join("sweep.jsonl")).unwrap();
        let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&first["scenes"], &first["median"]),
            (&json!(1.0), &json!(2.0))
        );
        assert_eq!(lines.lines().count(), 14);
    }
}
