//! CIDEr-D: n-grams weighted by their inverse document frequency in the corpus' references.

use std::collections::BTreeMap;

use super::ngrams::{LONGEST, ngrams};

/// Standard deviation of the Gaussian length penalty, in words.
const SIGMA: f64 = 6.0;

/// CIDEr-D of each description: ten times the mean cosine similarity over n and references.
pub fn scores(described: &[(Vec<String>, Vec<Vec<String>>)]) -> Vec<f64> {
    let mut documents = BTreeMap::<&[String], u64>::new();
    for (_, references) in described {
        let mut own: Vec<&[String]> = references
            .iter()
            .flat_map(|r| ngrams(r).into_keys())
            .collect();
        own.sort_unstable();
        own.dedup();
        for run in own {
            *documents.entry(run).or_default() += 1;
        }
    }
    let corpus = Corpus {
        documents,
        log_size: (described.len() as f64).ln(),
    };
    described
        .iter()
        .map(|(words, references)| {
            let said = corpus.weigh(words);
            let sum: f64 = references
                .iter()
                .map(|r| similarity(&said, &corpus.weigh(r)))
                .sum();
            10.0 * sum / references.len() as f64
        })
        .collect()
}

struct Corpus<'a> {
    /// Document frequency: number of samples whose references contain the n-gram.
    documents: BTreeMap<&'a [String], u64>,
    log_size: f64,
}

struct Weighed<'a> {
    weights: BTreeMap<&'a [String], f64>,
    norms: [f64; LONGEST],
    length: f64,
}

impl Corpus<'_> {
    fn weigh<'a>(&self, words: &'a [String]) -> Weighed<'a> {
        let mut norms = [0.0; LONGEST];
        let weights = ngrams(words)
            .into_iter()
            .map(|(run, count)| {
                let documents = self.documents.get(run).copied().unwrap_or(0).max(1);
                let weight = count as f64 * (self.log_size - (documents as f64).ln());
                norms[run.len() - 1] += weight * weight;
                (run, weight)
            })
            .collect();
        Weighed {
            weights,
            norms: norms.map(f64::sqrt),
            // The reference implementation measures lengths in bigrams.
            length: words.len().saturating_sub(1) as f64,
        }
    }
}

fn similarity(said: &Weighed, reference: &Weighed) -> f64 {
    let mut products = [0.0; LONGEST];
    for (run, weight) in &said.weights {
        if let Some(other) = reference.weights.get(run) {
            products[run.len() - 1] += weight.min(*other) * other;
        }
    }
    let delta = said.length - reference.length;
    let penalty = (-delta * delta / (2.0 * SIGMA * SIGMA)).exp();
    let cosines = products.iter().zip(&said.norms).zip(&reference.norms);
    let sum: f64 = cosines
        .map(|((product, a), b)| match a * b {
            0.0 => *product,
            norms => product / norms,
        })
        .sum();
    penalty * sum / LONGEST as f64
}
