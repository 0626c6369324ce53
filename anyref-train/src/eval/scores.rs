//! Scores of many cases.

use super::case::{Case, EvalKind};

/// Scores of one kind; those that make no sense for it are absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// What was evaluated.
    pub kind: EvalKind,
    /// Number of cases.
    pub cases: usize,
    /// Sum of intersections over sum of unions.
    pub c_iou: Option<f64>,
    /// Mean IoU, with its 95 % bootstrap interval.
    pub g_iou: Option<Estimate>,
    /// Mean F-score, β² = 0.3.
    pub f_score: Option<f64>,
    /// Share of descriptions with the right noun.
    pub noun: Option<Estimate>,
    /// Share of descriptions that tell the object from the scene's others.
    pub expression: Option<Estimate>,
    /// Share of answers without a mask.
    pub refused: f64,
}

/// A mean with a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The interval's ends.
    pub interval: [f64; 2],
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
            (!own.is_empty()).then(|| of_kind(kind, &own))
        })
        .collect()
}

fn of_kind(kind: EvalKind, cases: &[&Case]) -> Scores {
    let masks = !matches!(kind, EvalKind::Box | EvalKind::Absent);
    let sum = |value: fn(&Case) -> u64| cases.iter().map(|case| value(case)).sum::<u64>() as f64;
    let share = |right: fn(&Case) -> Option<bool>| {
        let values: Vec<f64> = cases
            .iter()
            .filter_map(|case| right(case))
            .map(|r| f64::from(u8::from(r)))
            .collect();
        (!values.is_empty()).then(|| estimate(&values))
    };
    let ious: Vec<f64> = cases.iter().map(|case| case.iou()).collect();
    let f = cases
        .iter()
        .map(|c| f_score(c.intersection, c.predicted, c.truth))
        .sum::<f64>();
    Scores {
        kind,
        cases: cases.len(),
        c_iou: masks.then(|| sum(|case| case.intersection) / sum(|case| case.union).max(1.0)),
        g_iou: masks.then(|| estimate(&ious)),
        f_score: masks.then(|| f / cases.len() as f64),
        noun: share(|case| case.noun_right),
        expression: share(|case| case.expression_right),
        refused: cases.iter().filter(|case| case.masks == 0).count() as f64 / cases.len() as f64,
    }
}

/// Mean and percentile bootstrap interval over 1000 resamplings, the same for the same values.
fn estimate(values: &[f64]) -> Estimate {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    let mean = |sum: f64| sum / values.len() as f64;
    let mut rng = SmallRng::seed_from_u64(values.len() as u64);
    let mut means: Vec<f64> = (0..1000)
        .map(|_| {
            mean(
                (0..values.len())
                    .map(|_| values[rng.random_range(0..values.len())])
                    .sum(),
            )
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Estimate {
        mean: mean(values.iter().sum()),
        interval: [means[25], means[974]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(intersection: u64, union: u64) -> Case {
        Case {
            kind: EvalKind::Text,
            scene: 0,
            question: String::new(),
            expected: String::new(),
            answer: String::new(),
            masks: 1,
            counts: String::new(),
            size: [1, 1],
            intersection,
            union,
            predicted: union,
            truth: intersection,
            score: 0.0,
            objects: 1,
            noun_right: None,
            expression_right: None,
        }
    }

    #[test]
    fn cumulative_and_mean_iou_differ() {
        let scores = &scores(&[case(90, 100), case(0, 20)])[0];
        assert!((scores.c_iou.unwrap() - 0.75).abs() < 1e-12);
        let g_iou = scores.g_iou.unwrap();
        assert!((g_iou.mean - 0.45).abs() < 1e-12);
        assert!(g_iou.interval[0] <= 0.45 && 0.45 <= g_iou.interval[1]);
    }

    #[test]
    fn f_score_weighs_precision() {
        // Precision 0.5, recall 1: 1.3 · 0.5 / (0.15 + 1).
        assert!((f_score(10, 20, 10) - 0.65 / 1.15).abs() < 1e-12);
        assert!((f_score(10, 10, 10) - 1.0).abs() < 1e-12);
        assert_eq!(f_score(0, 0, 10), 0.0);
    }
}
