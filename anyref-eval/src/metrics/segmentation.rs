//! Referring segmentation with one mask a sentence: RefCOCO and its kin, and ReasonSeg.

use super::metric::{Metric, ratio};
use super::overlap::Overlap;

/// IoU thresholds of precision.
pub const THRESHOLDS: [f64; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];

/// Scores of referring expressions.
///
/// * `cIoU`: sum of intersections over sum of unions ("overall IoU" in LAVT's evaluation).
/// * `gIoU`: mean IoU by LISA's evaluation, where the union is taken 1e-5 pixels larger, and a
///   sample with both masks empty counts 1.
/// * `mIoU`: mean IoU by LAVT's evaluation, where such a sample counts 0.
/// * `Pr@X`: share of samples whose IoU, by LAVT's evaluation, is at least X.
#[derive(Debug, Clone, Copy, Default)]
pub struct Referring;

impl Metric for Referring {
    type Sample = Overlap;

    fn names(&self) -> Vec<String> {
        let precision = THRESHOLDS.iter().map(|t| format!("Pr@{t}"));
        ["cIoU", "gIoU", "mIoU"]
            .map(str::to_owned)
            .into_iter()
            .chain(precision)
            .collect()
    }

    fn scores<'a>(&self, samples: impl Iterator<Item = &'a Overlap>) -> Vec<Option<f64>> {
        let mut sums = Sums::default();
        let mut mean = 0.0;
        let mut reached = [0_u64; THRESHOLDS.len()];
        for overlap in samples {
            sums.add(overlap);
            let iou = iou_or_0(overlap);
            mean += iou;
            for (count, threshold) in reached.iter_mut().zip(THRESHOLDS) {
                *count += u64::from(iou >= threshold);
            }
        }
        let count = sums.samples as f64;
        let mut scores = vec![
            ratio(sums.intersection as f64, sums.union as f64),
            ratio(sums.g_iou, count),
            ratio(mean, count),
        ];
        scores.extend(reached.map(|n| ratio(n as f64, count)));
        scores
    }
}

/// Scores of ReasonSeg: `gIoU` and `cIoU` as in LISA's evaluation. Pixels that the benchmark marks
/// as ambiguous belong in the argument `ignored` of [`Overlap::of`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Reasoning;

impl Metric for Reasoning {
    type Sample = Overlap;

    fn names(&self) -> Vec<String> {
        ["gIoU", "cIoU"].map(str::to_owned).into()
    }

    fn scores<'a>(&self, samples: impl Iterator<Item = &'a Overlap>) -> Vec<Option<f64>> {
        let mut sums = Sums::default();
        samples.for_each(|overlap| sums.add(overlap));
        let c_iou = sums.intersection as f64 / (sums.union as f64 + 1e-10);
        vec![
            ratio(sums.g_iou, sums.samples as f64),
            (sums.samples > 0).then_some(c_iou),
        ]
    }
}

#[derive(Default)]
struct Sums {
    samples: u64,
    intersection: u64,
    union: u64,
    g_iou: f64,
}

impl Sums {
    fn add(&mut self, overlap: &Overlap) {
        self.samples += 1;
        self.intersection += overlap.intersection;
        self.union += overlap.union();
        self.g_iou += lisa_iou(overlap);
    }
}

/// IoU; 0 when both masks are empty.
pub(super) fn iou_or_0(overlap: &Overlap) -> f64 {
    ratio(overlap.intersection as f64, overlap.union() as f64).unwrap_or(0.0)
}

/// IoU with LISA's guard against division by 0; 1 when both masks are empty.
fn lisa_iou(overlap: &Overlap) -> f64 {
    match overlap.union() {
        0 => 1.0,
        union => overlap.intersection as f64 / (union as f64 + 1e-5),
    }
}
