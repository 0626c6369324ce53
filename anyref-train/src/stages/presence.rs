//! Ability of the mask decoder's IoU estimates to separate present from absent objects.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// IoU estimates of objects that are present in their pictures, and of absent ones.
#[derive(Debug, Default)]
pub(super) struct Presence {
    there: Vec<f32>,
    absent: Vec<f32>,
}

impl Presence {
    /// Adds the estimates of a batch.
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

    /// Area under the ROC curve: share of pairs in which the present object has the higher
    /// estimate, a tie counting half; `None` without pairs.
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
        // All 3 pairs are right for one estimate; 1 right and 1 tie of 3 for the other.
        assert_eq!(presence.told_apart(), Some((3.0 + 1.5) / 6.0));
        presence.absent.clear();
        assert_eq!(presence.told_apart(), None);
    }
}
