//! Trait of metrics over samples.

/// Metric over samples.
pub trait Metric {
    /// Contribution of one sample.
    type Sample;

    /// Names of the scores.
    fn names(&self) -> Vec<String>;

    /// Scores of some samples, which may repeat; `None` for a score that they leave undefined, such
    /// as a mean over nothing.
    fn scores<'a>(&self, samples: impl Iterator<Item = &'a Self::Sample>) -> Vec<Option<f64>>
    where
        Self::Sample: 'a;

    /// Stratum of a sample: resampling exchanges samples of equal strata only.
    fn stratum(&self, _sample: &Self::Sample) -> u64 {
        0
    }
}

/// Quotient, or `None` if the divisor is 0.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole != 0.0).then(|| part / whole)
}
