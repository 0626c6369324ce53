//! Metrics over samples.

/// Scores over samples.
pub trait Metric {
    /// Contribution of one sample.
    type Sample;

    /// Names of the scores.
    fn names(&self) -> Vec<String>;

    /// The scores of some samples, each of which may come several times; none where a score has no
    /// meaning for them, such as a mean over nothing.
    fn scores<'a>(&self, samples: impl Iterator<Item = &'a Self::Sample>) -> Vec<Option<f64>>
    where
        Self::Sample: 'a;

    /// Samples that resampling may exchange for one another share this number.
    fn stratum(&self, _sample: &Self::Sample) -> u64 {
        0
    }
}

/// A quotient, none where the divisor is 0.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole != 0.0).then(|| part / whole)
}
