//! Labels of a sound with their probabilities.

use crate::{Error, Result};

/// Label with scores of its fit to a sound. The [module](super) explains the numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct SoundLabel {
    /// Label as spelled in the vocabulary.
    pub label: String,
    /// Index in the vocabulary, from 0.
    pub index: usize,
    /// Softmax probability among all labels of the vocabulary, 0 to 1.
    pub probability: f32,
    /// Cosine of the embeddings of sound and prompt, -1 to 1.
    pub similarity: f32,
}

/// All labels of a vocabulary for one sound, likeliest first.
#[derive(Debug, Clone, PartialEq)]
pub struct SoundRanking(Vec<SoundLabel>);

impl SoundRanking {
    /// Ranks labels by the dot products of their embeddings with a sound's.
    pub(super) fn new<'a>(
        labels: &[String],
        embeddings: impl Iterator<Item = &'a [f32]>,
        sound: &[f32],
    ) -> Result<Self> {
        let length = |row: &[f32]| dot(row, row).sqrt();
        let own = length(sound);
        let logits: Vec<(f64, f64)> = embeddings
            .map(|row| {
                let logit = dot(row, sound);
                (logit, logit / (length(row) * own).max(f64::MIN_POSITIVE))
            })
            .collect();
        let greatest = logits
            .iter()
            .map(|(logit, _)| *logit)
            .fold(f64::MIN, f64::max);
        let total: f64 = logits
            .iter()
            .map(|(logit, _)| (logit - greatest).exp())
            .sum();
        if !total.is_finite() {
            return Err(Error::NotFinite);
        }
        let mut ranked: Vec<SoundLabel> = labels
            .iter()
            .zip(&logits)
            .enumerate()
            .map(|(index, (label, (logit, similarity)))| SoundLabel {
                label: label.clone(),
                index,
                probability: ((logit - greatest).exp() / total) as f32,
                similarity: *similarity as f32,
            })
            .collect();
        // Sorted by logits, which differ where probabilities round to equal values.
        ranked.sort_by(|a, b| logits[b.index].0.total_cmp(&logits[a.index].0));
        Ok(Self(ranked))
    }

    /// All labels, likeliest first.
    pub fn labels(&self) -> &[SoundLabel] {
        &self.0
    }

    /// Likeliest label.
    pub fn best(&self) -> &SoundLabel {
        // No vocabulary is empty.
        &self.0[0]
    }

    /// At most `count` labels, likeliest first.
    pub fn top(&self, count: usize) -> &[SoundLabel] {
        &self.0[..count.min(self.0.len())]
    }

    /// Labels with at least this probability, likeliest first.
    pub fn above(&self, threshold: f32) -> &[SoundLabel] {
        let count = self
            .0
            .partition_point(|label| label.probability >= threshold);
        self.top(count)
    }
}

/// Dot product in f64.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranking of three labels along the axes.
    fn ranking(sound: [f32; 3]) -> Result<SoundRanking> {
        let labels = ["dog", "cat", "bird"].map(str::to_owned);
        let rows = [[10.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 10.0]];
        SoundRanking::new(&labels, rows.iter().map(|row| &row[..]), &sound)
    }

    #[test]
    fn probabilities_are_a_softmax_and_similarities_cosines() {
        let ranking = ranking([0.0, 0.3, 0.4]).unwrap();
        let names: Vec<_> = ranking.labels().iter().map(|l| &l.label[..]).collect();
        assert_eq!(names, ["bird", "cat", "dog"]);
        let total: f64 = [0.0, 3.0, 4.0_f64].map(f64::exp).iter().sum();
        let best = ranking.best();
        assert_eq!(best.index, 2);
        assert!((f64::from(best.probability) - 4.0_f64.exp() / total).abs() < 1e-6);
        assert!((best.similarity - 0.8).abs() < 1e-6);
        let sum: f32 = ranking.labels().iter().map(|l| l.probability).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }

    #[test]
    fn thresholds_and_counts_take_from_the_front() {
        let ranking = ranking([0.0, 0.3, 0.4]).unwrap();
        let second = ranking.labels()[1].probability;
        assert_eq!(ranking.above(second).len(), 2);
        assert_eq!(ranking.above(second + 1e-6).len(), 1);
        assert_eq!((ranking.above(1.1).len(), ranking.above(0.0).len()), (0, 3));
        assert_eq!((ranking.top(0).len(), ranking.top(9).len()), (0, 3));
    }

    #[test]
    fn logits_that_exp_does_not_hold_are_ranked_and_those_that_are_none_refused() {
        let large = ranking([200.0, 199.0, 0.0]).unwrap();
        assert_eq!(large.best().index, 0);
        assert!((large.best().probability - 1.0).abs() < 1e-4);
        // Both probabilities round to 0.
        assert_eq!(large.labels()[1].index, 1);
        assert!(matches!(
            ranking([f32::NAN, 0.0, 0.0]),
            Err(Error::NotFinite)
        ));
    }
}
