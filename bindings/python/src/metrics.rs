//! Scores of masks.

use anyref_eval::metrics::{
    AudioVisual, Batch, Frame, Generalized, GeneralizedSample, Metric, Overlap, Reasoning,
    Referring, SoftMask,
};
use pyo3::prelude::*;

use crate::error::raised;
use crate::mask::Mask;

/// Names and values of scores; `None` where a score is undefined for the samples.
type Scores = Vec<(String, Option<f64>)>;

/// Scores of some samples.
fn scores<M: Metric>(metric: &M, samples: &[M::Sample]) -> Scores {
    let values = metric.scores(samples.iter());
    metric.names().into_iter().zip(values).collect()
}

/// Pixel counts of pairs of masks.
fn overlaps(pairs: &[(Py<Mask>, Py<Mask>)], ignored: &[Py<Mask>]) -> PyResult<Vec<Overlap>> {
    let overlap = |(index, (predicted, truth)): (usize, &(Py<Mask>, Py<Mask>))| {
        let ignored = ignored.get(index).map(|mask| &mask.get().0.rle);
        Overlap::of(&predicted.get().0.rle, &truth.get().0.rle, ignored)
            .map_err(|error| raised(format!("sample {index}: {error}")))
    };
    pairs.iter().enumerate().map(overlap).collect()
}

/// Scores of referring expressions for pairs of predicted and true masks.
#[pyfunction]
pub fn referring(py: Python<'_>, pairs: Vec<(Py<Mask>, Py<Mask>)>) -> PyResult<Scores> {
    py.detach(|| Ok(scores(&Referring, &overlaps(&pairs, &[])?)))
}

/// Scores of ReasonSeg for pairs of predicted and true masks, and masks of ignored pixels.
#[pyfunction]
pub fn reasoning(
    py: Python<'_>,
    pairs: Vec<(Py<Mask>, Py<Mask>)>,
    ignored: Vec<Py<Mask>>,
) -> PyResult<Scores> {
    py.detach(|| Ok(scores(&Reasoning, &overlaps(&pairs, &ignored)?)))
}

/// Scores of gRefCOCO for pairs of predicted and true masks; `none` has for each pair whether the
/// system states that there is no target, and whether there is none.
#[pyfunction]
pub fn generalized(
    py: Python<'_>,
    pairs: Vec<(Py<Mask>, Py<Mask>)>,
    none: Vec<(bool, bool)>,
) -> PyResult<Scores> {
    py.detach(|| {
        let overlaps = overlaps(&pairs, &[])?.into_iter();
        let sample = |(overlap, (says_none, is_none))| GeneralizedSample {
            overlap,
            says_none,
            is_none,
        };
        let samples: Vec<_> = overlaps.zip(none).map(sample).collect();
        Ok(scores(&Generalized, &samples))
    })
}

/// Frame: the predicted mask, the true mask, and the bytes of 32-bit probabilities.
type GivenFrame = (Py<Mask>, Py<Mask>, Option<Vec<u8>>);

/// Scores of AVSBench for frames in batches.
#[pyfunction]
pub fn audio_visual(py: Python<'_>, batches: Vec<Vec<GivenFrame>>) -> PyResult<Scores> {
    py.detach(|| {
        let frame = |(predicted, truth, soft): &GivenFrame| {
            let soft = soft.as_ref().map(|bytes| {
                let values = bytes.as_chunks::<4>().0.iter();
                let values: Vec<f32> = values.map(|&bytes| f32::from_ne_bytes(bytes)).collect();
                SoftMask::from_probabilities(&values)
            });
            let soft = soft.transpose().map_err(raised)?;
            let (predicted, truth) = (&predicted.get().0.rle, &truth.get().0.rle);
            Frame::new(predicted, soft.as_ref(), truth).map_err(raised)
        };
        let batch = |frames: &Vec<GivenFrame>| {
            let frames = frames.iter().map(frame).collect::<PyResult<Vec<_>>>()?;
            Ok(Batch::new(&frames))
        };
        let batches = batches.iter().map(batch).collect::<PyResult<Vec<_>>>()?;
        let batches: Vec<Batch> = batches.into_iter().flatten().collect();
        Ok(scores(&AudioVisual, &batches))
    })
}

/// Intersection over union; 0 for two empty masks.
#[pyfunction]
pub fn iou(one: &Mask, other: &Mask) -> PyResult<f64> {
    one.0.rle.iou(&other.0.rle).map_err(raised)
}
