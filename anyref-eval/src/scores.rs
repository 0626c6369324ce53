//! Scores of stamp scenes.

use serde::Serialize;

use super::case::{Case, EvalKind};
use super::confidence::{self, RESAMPLES, Score};
use super::metrics::Metric;

/// Scores of one kind, in the order of [`StampScores::names`]; scores that do not apply to the kind
/// have no value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Kind of the questions.
    pub kind: EvalKind,
    /// Number of cases.
    pub cases: usize,
    /// Scores with their 95 % intervals.
    pub scores: Vec<Score>,
}

/// F-score with β² = 0.3 of binary masks (AVSBench's β, at the threshold 0.5).
pub fn f_score(intersection: u64, predicted: u64, truth: u64) -> f64 {
    if intersection == 0 {
        return 0.0;
    }
    let precision = intersection as f64 / predicted as f64;
    let recall = intersection as f64 / truth as f64;
    1.3 * precision * recall / (0.3 * precision + recall)
}

/// Scores of each kind that has cases.
pub fn scores(cases: &[Case]) -> Vec<Scores> {
    EvalKind::ALL
        .into_iter()
        .filter_map(|kind| {
            let own: Vec<&Case> = cases.iter().filter(|case| case.kind == kind).collect();
            (!own.is_empty()).then(|| Scores {
                kind,
                cases: own.len(),
                scores: score_cases(&own),
            })
        })
        .collect()
}

/// Scores of some cases with deterministic intervals.
pub(super) fn score_cases(cases: &[&Case]) -> Vec<Score> {
    let outcomes: Vec<Outcome> = cases.iter().map(|case| Outcome::of(case)).collect();
    confidence::score(&StampScores, &outcomes, RESAMPLES, outcomes.len() as u64)
}

/// Contribution of a case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    mask: Option<MaskOutcome>,
    noun_right: Option<bool>,
    expression_right: Option<bool>,
    refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct MaskOutcome {
    intersection: u64,
    union: u64,
    iou: f64,
    f_score: f64,
}

impl Outcome {
    /// Extracts the contribution of a case.
    pub fn of(case: &Case) -> Self {
        let masks = !matches!(case.kind, EvalKind::Box | EvalKind::Absent);
        Self {
            mask: masks.then(|| MaskOutcome {
                intersection: case.intersection,
                union: case.union,
                iou: case.iou(),
                f_score: f_score(case.intersection, case.predicted, case.truth),
            }),
            noun_right: case.noun_right,
            expression_right: case.expression_right,
            refused: case.masks == 0,
        }
    }
}

/// Scores of stamp scenes.
///
/// * `cIoU`: sum of intersections over sum of unions.
/// * `gIoU`: mean IoU.
/// * `F (β² 0.3)`: mean [`f_score`].
/// * `noun`: share of descriptions with the right noun.
/// * `expression`: share of descriptions that distinguish the object from the scene's others.
/// * `no mask`: share of answers without a mask.
#[derive(Debug, Clone, Copy, Default)]
pub struct StampScores;

impl Metric for StampScores {
    type Sample = Outcome;

    fn names(&self) -> Vec<String> {
        let names = [
            "cIoU",
            "gIoU",
            "F (β² 0.3)",
            "noun",
            "expression",
            "no mask",
        ];
        names.map(str::to_owned).into()
    }

    fn scores<'a>(&self, samples: impl Iterator<Item = &'a Outcome>) -> Vec<Option<f64>> {
        let (mut intersections, mut unions) = (0, 0);
        let (mut iou, mut f_score, mut noun, mut expression, mut refused) =
            <(Mean, Mean, Mean, Mean, Mean)>::default();
        for outcome in samples {
            if let Some(mask) = outcome.mask {
                intersections += mask.intersection;
                unions += mask.union;
                iou.add(mask.iou);
                f_score.add(mask.f_score);
            }
            outcome.noun_right.into_iter().for_each(|r| noun.add_if(r));
            let right = outcome.expression_right.into_iter();
            right.for_each(|r| expression.add_if(r));
            refused.add_if(outcome.refused);
        }
        let c_iou = iou
            .value()
            .map(|_| intersections as f64 / unions.max(1) as f64);
        let means = [iou, f_score, noun, expression, refused];
        std::iter::once(c_iou)
            .chain(means.iter().map(Mean::value))
            .collect()
    }
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn add_if(&mut self, right: bool) {
        self.add(f64::from(u8::from(right)));
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cumulative_and_mean_iou_differ() {
        let cases = [Case::of_pixels(90, 100), Case::of_pixels(0, 20)];
        let scores = &scores(&cases)[0];
        let named = |name: &str| {
            scores
                .scores
                .iter()
                .find(|score| score.name == name)
                .unwrap()
        };
        assert!((named("cIoU").value.unwrap() - 0.75).abs() < 1e-12);
        let g_iou = named("gIoU");
        assert!((g_iou.value.unwrap() - 0.45).abs() < 1e-12);
        let [low, high] = g_iou.interval.unwrap();
        assert!(low <= 0.45 && 0.45 <= high);
        assert_eq!(named("noun").value, None);
        assert_eq!(named("no mask").value, Some(0.0));
    }

    #[test]
    fn f_score_weighs_precision() {
        // Precision 0.5, recall 1: 1.3 · 0.5 / (0.15 + 1).
        assert!((f_score(10, 20, 10) - 0.65 / 1.15).abs() < 1e-12);
        assert!((f_score(10, 10, 10) - 1.0).abs() < 1e-12);
        assert_eq!(f_score(0, 0, 10), 0.0);
    }
}
