//! Generalised referring segmentation, with any number of targets including none: gRefCOCO.

use super::metric::{Metric, ratio};
use super::overlap::Overlap;
use super::segmentation::iou_or_0;

/// IoU thresholds of precision, over the samples with a target.
const THRESHOLDS: [f64; 3] = [0.7, 0.8, 0.9];

/// Outcome of one sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneralizedSample {
    /// Overlap of the predicted mask with the union of the true ones.
    pub overlap: Overlap,
    /// Whether the system states that there is no target, whatever its mask is.
    pub says_none: bool,
    /// Whether there is no target.
    pub is_none: bool,
}

/// Scores of gRefCOCO, as in ReLA's evaluation.
///
/// * `gIoU`: mean IoU. A sentence without target counts 1 when the system says so, else 0; one with
///   a target counts 0 when the system denies it.
/// * `cIoU`: sum of intersections over sum of unions. A prediction for a sentence without target
///   adds to the unions unless the system says that there is none; a denied target adds the union
///   of both masks, the denied prediction included.
/// * `N-acc`: share of sentences without target that are recognised; `T-acc`: share of sentences
///   with a target that are not denied. ReLA writes 0 for both when every sentence has a target;
///   here they have no value then.
/// * `Pr@X`: share of sentences with a target whose IoU is at least X.
#[derive(Debug, Clone, Copy, Default)]
pub struct Generalized;

impl Metric for Generalized {
    type Sample = GeneralizedSample;

    fn names(&self) -> Vec<String> {
        let precision = THRESHOLDS.iter().map(|t| format!("Pr@{t}"));
        ["cIoU", "gIoU", "N-acc", "T-acc"]
            .map(str::to_owned)
            .into_iter()
            .chain(precision)
            .collect()
    }

    fn scores<'a>(&self, samples: impl Iterator<Item = &'a GeneralizedSample>) -> Vec<Option<f64>> {
        let (mut intersections, mut unions, mut mean) = (0_u64, 0_u64, 0.0);
        let (mut empty, mut empty_right, mut full, mut full_right) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut reached = [0_u64; THRESHOLDS.len()];
        for sample in samples {
            match (sample.is_none, sample.says_none) {
                (true, true) => {
                    mean += 1.0;
                    empty_right += 1;
                }
                (true, false) => unions += sample.overlap.union(),
                (false, says_none) => {
                    let mut iou = 0.0;
                    if !says_none {
                        full_right += 1;
                        intersections += sample.overlap.intersection;
                        iou = iou_or_0(&sample.overlap);
                    }
                    unions += sample.overlap.union();
                    mean += iou;
                    for (count, threshold) in reached.iter_mut().zip(THRESHOLDS) {
                        *count += u64::from(iou >= threshold);
                    }
                }
            }
            match sample.is_none {
                true => empty += 1,
                false => full += 1,
            }
        }
        let n_acc = ratio(empty_right as f64, empty as f64);
        let t_acc = n_acc.and(ratio(full_right as f64, full as f64));
        let mut scores = vec![
            ratio(intersections as f64, unions as f64),
            ratio(mean, (empty + full) as f64),
            n_acc,
            t_acc,
        ];
        scores.extend(reached.map(|n| ratio(n as f64, full as f64)));
        scores
    }

    /// Returns whether there is a target: both accuracies keep their number of samples in
    /// resampling.
    fn stratum(&self, sample: &GeneralizedSample) -> u64 {
        u64::from(sample.is_none)
    }
}
