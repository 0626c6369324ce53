//! Confidence of scores: bootstrap intervals, and comparisons of two systems.
//!
//! The unit of resampling is a sample: a sentence, a picture, or a batch of frames. CIDEr keeps the
//! document frequencies of the whole corpus in every resample.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::metrics::Metric;

/// Default number of resamples.
pub const RESAMPLES: usize = 1000;

/// Score with its 95 % confidence interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Name of the score.
    pub name: String,
    /// Value, 0 to 1 except for CIDEr; `None` if undefined, such as a mean over nothing.
    pub value: Option<f64>,
    /// Ends of the interval.
    pub interval: Option<[f64; 2]>,
}

/// Difference between two systems on the same samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Name of the score.
    pub name: String,
    /// Score of the first system less that of the second.
    pub difference: Option<f64>,
    /// Ends of the difference's 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// p-value: probability of a difference at least as large, either way, if the systems were
    /// equal.
    pub p: Option<f64>,
}

/// Scores with 95 % bootstrap intervals from `resamples` resamples; deterministic for a `seed`.
pub fn score<M: Metric>(
    metric: &M,
    samples: &[M::Sample],
    resamples: usize,
    seed: u64,
) -> Vec<Score> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let strata = strata(metric, samples);
    let values = metric.scores(samples.iter());
    let mut drawn = vec![Vec::with_capacity(resamples); values.len()];
    for _ in 0..resamples {
        let indices = draw(&strata, &mut rng);
        let scores = metric.scores(indices.iter().map(|&i| &samples[i]));
        for (drawn, score) in drawn.iter_mut().zip(scores) {
            drawn.extend(score);
        }
    }
    let rows = metric.names().into_iter().zip(values).zip(drawn);
    rows.map(|((name, value), drawn)| Score {
        name,
        interval: value.and(interval(drawn)),
        value,
    })
    .collect()
}

/// Compares two systems by their samples; samples with equal index belong to the same question. The
/// interval is by bootstrap over pairs, p by a permutation test that exchanges the systems in
/// random pairs.
pub fn compare<M: Metric>(
    metric: &M,
    one: &[M::Sample],
    other: &[M::Sample],
    resamples: usize,
    seed: u64,
) -> Vec<Difference> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let strata = strata(metric, one);
    let between = |a: Vec<Option<f64>>, b: Vec<Option<f64>>| -> Vec<Option<f64>> {
        a.into_iter().zip(b).map(|(a, b)| Some(a? - b?)).collect()
    };
    let observed = between(metric.scores(one.iter()), metric.scores(other.iter()));
    let mut drawn = vec![Vec::with_capacity(resamples); observed.len()];
    let mut as_large = vec![0_usize; observed.len()];
    for _ in 0..resamples {
        let indices = draw(&strata, &mut rng);
        let of = |samples: &[M::Sample]| metric.scores(indices.iter().map(|&i| &samples[i]));
        for (drawn, difference) in drawn.iter_mut().zip(between(of(one), of(other))) {
            drawn.extend(difference);
        }
        let swap: Vec<bool> = (0..one.len()).map(|_| rng.random()).collect();
        let pick = |i: usize, swapped: bool| {
            if swap[i] == swapped {
                &one[i]
            } else {
                &other[i]
            }
        };
        let exchanged = between(
            metric.scores((0..one.len()).map(|i| pick(i, false))),
            metric.scores((0..one.len()).map(|i| pick(i, true))),
        );
        for ((count, exchanged), observed) in as_large.iter_mut().zip(exchanged).zip(&observed) {
            // Sums in another order may differ in their last digits.
            let reached = |a: f64, b: f64| a.abs() >= b.abs() - 1e-12;
            *count += usize::from(exchanged.zip(*observed).is_some_and(|(a, b)| reached(a, b)));
        }
    }
    let rows = metric
        .names()
        .into_iter()
        .zip(observed)
        .zip(drawn)
        .zip(as_large);
    rows.map(|(((name, difference), drawn), as_large)| Difference {
        name,
        difference,
        interval: difference.and(interval(drawn)),
        p: difference.map(|_| (as_large + 1) as f64 / (resamples + 1) as f64),
    })
    .collect()
}

/// Indices of samples that resampling may exchange for one another.
fn strata<M: Metric>(metric: &M, samples: &[M::Sample]) -> Vec<Vec<usize>> {
    let mut strata = BTreeMap::<u64, Vec<usize>>::new();
    for (index, sample) in samples.iter().enumerate() {
        strata
            .entry(metric.stratum(sample))
            .or_default()
            .push(index);
    }
    strata.into_values().collect()
}

fn draw(strata: &[Vec<usize>], rng: &mut SmallRng) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(strata.iter().map(Vec::len).sum());
    for stratum in strata {
        drawn.extend((0..stratum.len()).filter_map(|_| stratum.choose(rng)));
    }
    drawn
}

/// Limits between which 95 of 100 values lie.
fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let tail = values.len() / 40;
    Some([*values.get(tail)?, *values.get(values.len() - 1 - tail)?])
}
