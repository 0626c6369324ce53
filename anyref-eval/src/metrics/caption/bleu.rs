//! BLEU-1 to BLEU-4 of a corpus, with the reference closest in length.

use std::collections::BTreeMap;

use super::ngrams::{LONGEST, ngrams};

/// Guards against division by 0, with pycocoevalcap's values.
const SMALL: f64 = 1e-9;
const TINY: f64 = 1e-15;

/// Counts that BLEU is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Words of the description.
    length: u64,
    /// Words of the reference closest in length, the shorter one on a tie.
    reference_length: u64,
    /// Number of n-grams of 1 to 4 words in the description.
    said: [u64; LONGEST],
    /// Clipped number of n-grams that occur in a reference.
    right: [u64; LONGEST],
}

impl Counts {
    /// Counts of one description.
    pub fn of(words: &[String], references: &[Vec<String>]) -> Self {
        let mut most = BTreeMap::<&[String], u64>::new();
        for reference in references {
            for (run, count) in ngrams(reference) {
                let known = most.entry(run).or_default();
                *known = count.max(*known);
            }
        }
        let mut right = [0; LONGEST];
        for (run, count) in ngrams(words) {
            right[run.len() - 1] += count.min(most.get(run).copied().unwrap_or(0));
        }
        let lengths = references.iter().map(Vec::len);
        let closest = lengths.min_by_key(|&length| (length.abs_diff(words.len()), length));
        Self {
            length: words.len() as u64,
            reference_length: closest.unwrap_or(0) as u64,
            said: std::array::from_fn(|n| words.len().saturating_sub(n) as u64),
            right,
        }
    }

    /// Adds the counts of another description.
    pub fn add(&mut self, other: &Self) {
        self.length += other.length;
        self.reference_length += other.reference_length;
        for n in 0..LONGEST {
            self.said[n] += other.said[n];
            self.right[n] += other.right[n];
        }
    }

    /// BLEU-1 to BLEU-4.
    pub fn scores(&self) -> [f64; LONGEST] {
        let ratio = (self.length as f64 + TINY) / (self.reference_length as f64 + SMALL);
        let brevity = if ratio < 1.0 {
            (1.0 - 1.0 / ratio).exp()
        } else {
            1.0
        };
        let mut product = 1.0;
        std::array::from_fn(|n| {
            product *= (self.right[n] as f64 + TINY) / (self.said[n] as f64 + SMALL);
            product.powf(1.0 / (n + 1) as f64) * brevity
        })
    }
}
