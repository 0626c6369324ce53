//! Decoding of masks before their answers end.
//!
//! The vector of an `<obj>` depends on the states of the positions before it alone, so that its
//! mask can be decoded as soon as these are known. The finished answer keeps the same mask.

use anyref_llm::Generation;
use burn::tensor::backend::Backend;

use crate::conversation::{Conversation, Goal};
use crate::early_masks::EarlyMasks;
use crate::generation::{Generated, GeneratedAnswer, RowPlaces};
use crate::layout::Layout;
use crate::observer::Observer;
use crate::picture::Picture;
use crate::sentence::Sentence;
use crate::{AnyRef, Result, Timing};

impl<B: Backend> AnyRef<B> {
    /// Decodes the mask of every `<obj>` whose state is known by now, of rows that want it, and
    /// gives the observer those of sufficient score.
    ///
    /// # Errors
    /// When the device cannot compute.
    pub(crate) async fn decode_early(
        &self,
        asked: &[Conversation<'_, B>],
        places: &RowPlaces,
        generation: &Generation<'_, B>,
        early: &mut EarlyMasks,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let mut answers = Vec::with_capacity(asked.len());
        for (row, early) in early.rows.iter().enumerate() {
            let mut objects = Vec::new();
            if early.wanted {
                let tokens = &generation.tokens()[row];
                objects = self.objects(tokens, row, places, generation.read(row));
                objects.drain(..early.masks.len().min(objects.len()));
            }
            answers.push(GeneratedAnswer {
                tokens: Vec::new(),
                question: Layout::default(),
                objects,
                early: Vec::new(),
                timing: Timing::default(),
            });
        }
        if answers.iter().all(|answer| answer.objects.is_empty()) {
            return Ok(());
        }
        let mut output = generation.output();
        output.key = places.padding_first(output.key);
        let generated = Generated { answers, output };
        let pictures: Vec<&Picture<B>> = asked.iter().map(|row| row.picture).collect();
        let refinable = |row: usize| asked[row].goal == Goal::Chat;
        let lambda = self.model.refocus_lambda();
        let decoded = self.masks(&pictures, &generated, lambda, refinable).await?;
        for (row, (decoded, early)) in decoded.into_iter().zip(&mut early.rows).enumerate() {
            let Ok(masks) = decoded else {
                // Met again, and told, when the answer ends.
                early.wanted = false;
                continue;
            };
            if masks.is_empty() {
                continue;
            }
            let raw = self.tokenizer.decode(&generation.tokens()[row])?;
            let words = Sentence::of(raw.trim(), self.config.prompts.phrases).words;
            for mut mask in masks {
                mask.words = words.get(early.masks.len()).copied().flatten();
                if mask.score >= self.config.min_mask_score {
                    observer.mask(row, early.shown, &mask);
                    early.shown += 1;
                }
                early.masks.push(mask);
            }
        }
        Ok(())
    }
}
