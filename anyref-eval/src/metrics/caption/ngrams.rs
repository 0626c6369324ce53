//! Runs of words with their numbers.

use std::collections::BTreeMap;

/// Longest run that counts.
pub const LONGEST: usize = 4;

/// How often each run of 1 to [`LONGEST`] words occurs; sorted, so that sums over it are always the
/// same.
pub fn ngrams(words: &[String]) -> BTreeMap<&[String], u64> {
    let mut counts = BTreeMap::new();
    for length in 1..=LONGEST {
        for run in words.windows(length) {
            *counts.entry(run).or_default() += 1;
        }
    }
    counts
}
