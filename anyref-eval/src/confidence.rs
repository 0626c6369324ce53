//! How far scores can be trusted: intervals by resampling, and comparisons of two systems.
//!
//! Samples are drawn anew: a sentence, a picture, a batch of frames. CIDEr keeps the rarity of
//! words of the whole corpus in every drawing.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::metrics::Metric;

/// Drawings, where nobody says otherwise.
pub const RESAMPLES: usize = 1000;

/// A score with the range in which it would lie 95 times of 100 with other samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Its name.
    pub name: String,
    /// The score, 0 to 1 but for CIDEr; none where it has no meaning, such as a mean over nothing.
    pub value: Option<f64>,
    /// The interval's ends.
    pub interval: Option<[f64; 2]>,
}

/// By how much one system is better than another on the same samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Name of the score.
    pub name: String,
    /// The one's score less the other's.
    pub difference: Option<f64>,
    /// Ends of the difference's 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// How likely a difference at least as large, either way, would be if the two systems were
    /// alike.
    pub p: Option<f64>,
}

/// Scores with 95 % intervals, by `resamples` drawings with replacement; the same for the same
/// seed.
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

/// Compares two systems by their samples, of which those with the same index are of the same
/// question. The interval is by drawing pairs with replacement, p by exchanging the systems in
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

/// Indices of samples that may stand for one another.
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

/// Limits that 95 of 100 values lie between.
fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let tail = values.len() / 40;
    Some([*values.get(tail)?, *values.get(values.len() - 1 - tail)?])
}
