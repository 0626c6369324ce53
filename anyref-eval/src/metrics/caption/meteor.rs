//! Exact stage of METEOR 1.5: equal words matched in as few chunks as possible.

use std::collections::HashSet;

/// Weight of recall against precision.
const ALPHA: f64 = 0.85;
/// Exponent of the fragmentation penalty.
const BETA: f64 = 0.2;
/// Weight of the fragmentation penalty.
const GAMMA: f64 = 0.6;
/// Beam width: number of partial alignments kept.
const BEAM: usize = 200;

/// Counts that METEOR is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    length: u64,
    reference_length: u64,
    matches: u64,
    /// Chunks: runs of matched words in the same order on both sides.
    chunks: u64,
}

impl Counts {
    /// Counts against the reference with the best score.
    pub fn of(words: &[String], references: &[Vec<String>]) -> Self {
        let mut best: Option<Self> = None;
        for reference in references {
            let (matches, chunks) = align(words, reference);
            let counts = Self {
                length: words.len() as u64,
                reference_length: reference.len() as u64,
                matches,
                chunks,
            };
            if best.is_none_or(|best| counts.score() > best.score()) {
                best = Some(counts);
            }
        }
        best.unwrap_or_default()
    }

    /// Adds the counts of another description. A description equal to a reference adds no chunk.
    pub fn add(&mut self, other: &Self) {
        self.length += other.length;
        self.reference_length += other.reference_length;
        self.matches += other.matches;
        self.chunks += other.disorder();
    }

    /// Chunks that count; a single one that covers both sides counts as none.
    fn disorder(&self) -> u64 {
        let whole = self.matches == self.length && self.matches == self.reference_length;
        match whole && self.chunks == 1 {
            true => 0,
            false => self.chunks,
        }
    }

    /// METEOR score, 0 to 1.
    pub fn score(&self) -> f64 {
        if self.matches == 0 {
            return 0.0;
        }
        let precision = self.matches as f64 / self.length as f64;
        let recall = self.matches as f64 / self.reference_length as f64;
        let mean = precision * recall / (ALPHA * precision + (1.0 - ALPHA) * recall);
        let disorder = self.disorder() as f64 / self.matches as f64;
        mean * (1.0 - GAMMA * disorder.powf(BETA))
    }
}

/// Alignment of the words so far.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Partial {
    /// Words of the reference that are matched.
    taken: Vec<bool>,
    /// Position to which the last word is matched, if it is.
    last: Option<usize>,
    matches: u64,
    chunks: u64,
}

/// Largest number of matches, and the smallest number of chunks among alignments with that many.
fn align(words: &[String], reference: &[String]) -> (u64, u64) {
    let mut beam = vec![Partial {
        taken: vec![false; reference.len()],
        last: None,
        matches: 0,
        chunks: 0,
    }];
    for word in words {
        let mut next = HashSet::new();
        for partial in &beam {
            let free = |j: &usize| !partial.taken[*j] && reference[*j] == *word;
            for j in (0..reference.len()).filter(free) {
                let mut longer = partial.clone();
                longer.taken[j] = true;
                longer.matches += 1;
                longer.chunks += u64::from(j == 0 || partial.last != Some(j - 1));
                longer.last = Some(j);
                next.insert(longer);
            }
            next.insert(Partial {
                last: None,
                ..partial.clone()
            });
        }
        beam = next.into_iter().collect();
        beam.sort_unstable_by(|a, b| {
            let key = |p: &Partial| (u64::MAX - p.matches, p.chunks);
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.taken, a.last).cmp(&(&b.taken, b.last)))
        });
        beam.truncate(BEAM);
    }
    (beam[0].matches, beam[0].chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_words_are_aligned_in_the_fewest_runs() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let aligned = |a, b| align(&words(a), &words(b));
        assert_eq!(
            aligned("the dog and the cat", "the cat and the dog"),
            (5, 3)
        );
        assert_eq!(aligned("a b a", "c a b"), (2, 1));
        assert_eq!(aligned("x y", "a b"), (0, 0));
    }
}
