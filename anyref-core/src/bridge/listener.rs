//! Understanding of a name: how well the masks for it fill the box that it was given for.

use anyref_decoder::rle::Rle;
use burn::tensor::backend::Backend;

use crate::answer::Mask;
use crate::conversation::{Conversation, Goal, Turn};
use crate::observer::{Cancel, unobserved};
use crate::picture::Picture;
use crate::{Answer, AnyRef, Prompt, Reference, Result};

impl<B: Backend> AnyRef<B> {
    /// Answers with the masks of each of some phrases.
    pub(super) async fn ask_phrases(
        &self,
        picture: &Picture<B>,
        phrases: &[String],
        cancel: &Cancel,
    ) -> Result<Vec<Answer>> {
        let turns = phrases.iter().map(|phrase| {
            let prompt = Prompt::new([Reference::Text(phrase.clone())]);
            Ok([Turn::new(prompt, Goal::Segment, &self.config.prompts)?])
        });
        let turns = turns.collect::<Result<Vec<_>>>()?;
        let asked: Vec<_> = turns
            .iter()
            .map(|turns| Conversation {
                picture,
                turns,
                goal: Goal::Segment,
            })
            .collect();
        let answers = self.answers(&asked, &mut unobserved, cancel).await;
        answers.into_iter().collect()
    }

    /// IoU of the masks for a phrase, all together, with a mask.
    pub(super) async fn understood(
        &self,
        picture: &Picture<B>,
        phrase: &str,
        meant: &Mask,
        cancel: &Cancel,
    ) -> Result<f64> {
        let answers = self
            .ask_phrases(picture, &[phrase.to_owned()], cancel)
            .await?;
        Ok(overlap(&answers[0].masks, meant))
    }
}

/// IoU of some masks, all together, with another; 0 where both are empty.
fn overlap(masks: &[Mask], meant: &Mask) -> f64 {
    let meant = meant.rle.to_mask();
    let mut found = vec![false; meant.len()];
    for mask in masks {
        union(&mut found, &mask.rle);
    }
    let (mut both, mut either) = (0u64, 0u64);
    for (found, meant) in found.into_iter().zip(meant) {
        both += u64::from(found && meant);
        either += u64::from(found || meant);
    }
    both as f64 / either.max(1) as f64
}

fn union(all: &mut [bool], rle: &Rle) {
    for (all, one) in all.iter_mut().zip(rle.to_mask()) {
        *all |= one;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_count_together() {
        let mask = |on: &[usize]| {
            let pixels: Vec<bool> = (0..6).map(|place| on.contains(&place)).collect();
            Mask {
                rle: Rle::from_mask(&pixels, [2, 3]).unwrap(),
                score: 1.0,
                words: None,
                low_res: None,
            }
        };
        let meant = mask(&[0, 1, 2, 3]);
        let found = overlap(&[mask(&[0, 1]), mask(&[1, 2, 5])], &meant);
        assert!((found - 3.0 / 5.0).abs() < 1e-12, "{found}");
        assert_eq!(overlap(&[], &meant), 0.0);
        assert_eq!(overlap(&[], &mask(&[])), 0.0);
    }
}
