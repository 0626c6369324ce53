//! How well the mask decoder's own estimates tell what is there from what is not.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// IoU estimates of things that are in their pictures, and of things that are not.
#[derive(Debug, Default)]
pub(super) struct Presence {
    there: Vec<f32>,
    absent: Vec<f32>,
}

impl Presence {
    /// Adds estimates of a batch.
    pub(super) fn extend<B: Backend>(
        &mut self,
        there: Option<Tensor<B, 1>>,
        absent: Option<Tensor<B, 1>>,
    ) {
        for (kept, estimates) in [(&mut self.there, there), (&mut self.absent, absent)] {
            if let Some(estimates) = estimates {
                kept.extend(estimates.into_data().convert::<f32>().iter::<f32>());
            }
        }
    }

    /// The share of pairs of both in which what is there has the higher estimate (the area under
    /// the ROC curve); halves for ties, none without a pair.
    pub(super) fn told_apart(&self) -> Option<f64> {
        let pairs = self.there.len() * self.absent.len();
        let right = |a: &f32| {
            let against = |b: &f32| match a.total_cmp(b) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
            self.absent.iter().map(against).sum::<f64>()
        };
        (pairs > 0).then(|| self.there.iter().map(right).sum::<f64>() / pairs as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_the_right_order_are_counted() {
        let mut presence = Presence {
            there: vec![0.9, 0.5],
            absent: vec![0.5, 0.1, 0.7],
        };
        // 3 of 3, and one tie and one right of 3.
        assert_eq!(presence.told_apart(), Some((3.0 + 1.5) / 6.0));
        presence.absent.clear();
        assert_eq!(presence.told_apart(), None);
    }
}
