//! Curves of a log of metrics.

use std::collections::BTreeMap;

use serde_json::Value;

/// Fields of a line that are neither losses nor scores.
const OTHER: [&str; 10] = [
    "stage",
    "step",
    "learning_rate",
    "gradient_norm",
    "seconds",
    "stalled",
    "stall_share",
    "tokens_per_second",
    "loss_scale",
    "skipped",
];
/// Largest number of points of a curve; longer curves are averaged.
const MOST_POINTS: usize = 300;

/// Named curve over the steps of its stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Title of the curve.
    pub name: String,
    /// Whether it was measured on validation data.
    pub validation: bool,
    /// Pairs of step and value.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// Values of the curve.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|point| point.1)
    }
}

/// Curves of one stage.
#[derive(Debug)]
pub struct Stage {
    /// Kind of the stage, or its number.
    pub name: String,
    /// Last step logged.
    pub last_step: f64,
    /// Curves of losses.
    pub losses: Vec<Curve>,
    /// Curves of scores, 0 to 1.
    pub scores: Vec<Curve>,
}

/// Reads a log; lines that are no JSON are left out, because the last one may be incomplete.
pub fn read(metrics: &str, config: &str) -> Vec<Stage> {
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let mut stages: BTreeMap<usize, BTreeMap<(bool, String), Curve>> = BTreeMap::new();
    for line in metrics.lines() {
        let Ok(Value::Object(line)) = serde_json::from_str(line) else {
            continue;
        };
        let field = |name: &str| line.get(name).unwrap_or(&Value::Null);
        let (Some(stage), Some(step)) = (field("stage").as_u64(), field("step").as_f64()) else {
            continue;
        };
        let validation = field("kind") == "validation";
        let curves = stages.entry(stage as usize).or_default();
        for (name, value) in &line {
            let Some(value) = value.as_f64().filter(|_| !OTHER.contains(&name.as_str())) else {
                continue;
            };
            let title = if validation {
                format!("{name} (val)")
            } else {
                name.clone()
            };
            curves
                .entry((validation, name.clone()))
                .or_insert_with(|| Curve {
                    name: title,
                    validation,
                    points: Vec::new(),
                })
                .points
                .push((step, value));
        }
    }
    stages
        .into_iter()
        .map(|(index, curves)| {
            let name = config["stages"][index]["kind"]
                .as_str()
                .map_or_else(|| format!("stage {}", index + 1), str::to_owned);
            let last_step = curves
                .values()
                .flat_map(|curve| curve.points.iter().map(|point| point.0))
                .fold(0.0, f64::max);
            let (scores, losses): (Vec<_>, Vec<_>) = curves
                .into_iter()
                .partition(|((_, name), _)| is_score(name));
            let averaged = |curves: Vec<(_, Curve)>| -> Vec<Curve> {
                curves
                    .into_iter()
                    .map(|(_, curve)| average(curve))
                    .collect()
            };
            Stage {
                name,
                last_step,
                losses: averaged(losses),
                scores: averaged(scores),
            }
        })
        .collect()
}

/// Returns whether a metric is a score, which rises in training.
fn is_score(name: &str) -> bool {
    ["iou", "accuracy", "score", "presence"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Means of neighbouring points.
fn average(mut curve: Curve) -> Curve {
    let size = curve.points.len().div_ceil(MOST_POINTS).max(1);
    curve.points = curve
        .points
        .chunks(size)
        .map(|chunk| {
            let count = chunk.len() as f64;
            let sum = chunk
                .iter()
                .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
            (sum.0 / count, sum.1 / count)
        })
        .collect();
    curve
}
