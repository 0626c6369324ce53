//! Counts of n-grams.

use std::collections::BTreeMap;

/// Longest n-gram counted, in words.
pub const LONGEST: usize = 4;

/// Number of occurrences of each n-gram of 1 to [`LONGEST`] words; sorted, so that sums over it are
/// reproducible.
pub fn ngrams(words: &[String]) -> BTreeMap<&[String], u64> {
    let mut counts = BTreeMap::new();
    for length in 1..=LONGEST {
        for run in words.windows(length) {
            *counts.entry(run).or_default() += 1;
        }
    }
    counts
}
