//! Segmentation of sound sources in videos: AVSBench S4 and MS3.

use anyref_decoder::rle::Rle;

use super::error::Result;
use super::metric::{Metric, ratio};
use super::overlap::Overlap;
use super::soft_mask::{Histogram, SoftMask, THRESHOLDS};

/// Weight of precision against recall: β².
const BETA_2: f64 = 0.3;

/// Outcome of one frame.
#[derive(Debug, Clone)]
pub struct Frame {
    overlap: Overlap,
    /// F-score at each threshold; `None` if the true mask is empty.
    curve: Option<Vec<f64>>,
}

impl Frame {
    /// Scores a predicted against a true mask. The F-score thresholds `soft`; without it, the mask
    /// has the probability 1 inside and 0 outside.
    ///
    /// # Errors
    /// When the masks have different sizes, or `soft` has another number of pixels than they.
    pub fn new(predicted: &Rle, soft: Option<&SoftMask>, truth: &Rle) -> Result<Self> {
        let overlap = Overlap::of(predicted, truth, None)?;
        let histogram = match soft {
            Some(soft) => soft.histogram(truth)?,
            None => binary(&overlap),
        };
        let curve = (overlap.truth > 0).then(|| curve(&histogram, overlap.truth));
        Ok(Self { overlap, curve })
    }

    /// IoU; if the true mask is empty, the share of pixels that are predicted as background.
    fn iou(&self) -> f64 {
        let (part, whole) = match self.overlap.truth {
            0 => (self.overlap.background_intersection(), self.overlap.pixels),
            _ => (self.overlap.intersection, self.overlap.union()),
        };
        part as f64 / (whole as f64 + 1e-7)
    }
}

fn binary(overlap: &Overlap) -> Histogram {
    let mut histogram = Histogram::default();
    let last = THRESHOLDS - 1;
    histogram.all[last] = overlap.predicted;
    histogram.truth[last] = overlap.intersection;
    histogram.all[0] = overlap.pixels - overlap.predicted;
    histogram.truth[0] = overlap.truth - overlap.intersection;
    histogram
}

/// F-score at each threshold.
fn curve(histogram: &Histogram, truth: u64) -> Vec<f64> {
    let (mut found, mut predicted) = (0, 0);
    let mut curve = vec![0.0; THRESHOLDS];
    for level in (0..THRESHOLDS).rev() {
        found += histogram.truth[level];
        predicted += histogram.all[level];
        let precision = found as f64 / (predicted as f64 + 1e-20);
        let recall = found as f64 / truth as f64;
        let f = (1.0 + BETA_2) * precision * recall / (BETA_2 * precision + recall);
        curve[level] = if f.is_nan() { 0.0 } else { f };
    }
    curve
}

/// Batch of frames: the benchmark's test script takes one video, five frames, at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch {
    /// Mean IoU of the frames.
    pub iou: f64,
    /// F-score of the frames together.
    pub f_score: f64,
}

impl Batch {
    /// Scores the frames of one batch; `None` without frames.
    pub fn new(frames: &[Frame]) -> Option<Self> {
        let iou = ratio(frames.iter().map(Frame::iou).sum(), frames.len() as f64)?;
        let curves: Vec<_> = frames.iter().filter_map(|f| f.curve.as_ref()).collect();
        let mean =
            |level: usize| curves.iter().map(|c| c[level]).sum::<f64>() / curves.len() as f64;
        let f_score = match curves.is_empty() {
            true => 0.0,
            false => (0..THRESHOLDS).map(mean).fold(0.0, f64::max),
        };
        Some(Self { iou, f_score })
    }
}

/// Scores of S4 and MS3, as in the benchmark's code.
///
/// * `mIoU` (Jaccard): mean over batches of the mean IoU of the batch's frames. A frame with an
///   empty true mask has as IoU the share of its pixels that are predicted as background.
/// * `F`: with β² = 0.3 and 255 thresholds from 0 to 1.
///
/// The benchmark batches frames: the F-score's best threshold is chosen for each batch, on the mean
/// of its frames' curves, and the best values are averaged over batches. The score therefore
/// depends on the batch size (smaller batches score higher; the benchmark's default is one video),
/// batches of different sizes have equal weights, and a batch with only empty true masks scores 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct AudioVisual;

impl Metric for AudioVisual {
    type Sample = Batch;

    fn names(&self) -> Vec<String> {
        ["mIoU", "F"].map(str::to_owned).into()
    }

    fn scores<'a>(&self, samples: impl Iterator<Item = &'a Batch>) -> Vec<Option<f64>> {
        let (mut count, mut iou, mut f_score) = (0.0, 0.0, 0.0);
        for batch in samples {
            count += 1.0;
            iou += batch.iou;
            f_score += batch.f_score;
        }
        vec![ratio(iou, count), ratio(f_score, count)]
    }
}
