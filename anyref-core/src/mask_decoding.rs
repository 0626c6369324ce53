//! Pointing: the states of every `<obj>` to masks in the size of their pictures.

use std::time::Instant;

use anyref_decoder::refocus::{ObjectToken, RefocusInput};
use anyref_decoder::{postprocess_masks, rle::Rle};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::generation::{Conversation, Written};
use crate::picture::Picture;
use crate::special_tokens::SpecialTokens;
use crate::{Answer, AnyRef, Error, Mask, Result};

/// Objects decoded in one call, which bounds what they take of the memory.
const OBJECTS_AT_ONCE: usize = 64;

impl<B: Backend> AnyRef<B> {
    /// Leaves out the masks whose scores are below the limit.
    pub(crate) fn without_doubtful(&self, mut answer: Answer) -> Answer {
        let found = answer.masks.len();
        let limit = self.config.min_mask_score;
        answer.masks.retain(|mask| mask.score >= limit);
        answer.doubtful = found - answer.masks.len();
        answer
    }

    /// What was written, with all its masks; an error where the states it was written from are not numbers.
    pub(crate) fn point(
        &self,
        asked: &[Conversation<'_, B>],
        written: &Written<B>,
    ) -> Vec<Result<Answer>> {
        let start = Instant::now();
        let pictures: Vec<&Picture<B>> = asked.iter().map(|row| row.picture).collect();
        let masks = self.masks(&pictures, written, self.model.refocus_lambda());
        let decode = start.elapsed() / asked.len().max(1) as u32;
        let rows = written.answers.iter().zip(masks).zip(pictures);
        rows.zip(written.lost())
            .map(|(((answer, masks), picture), lost)| {
                if lost {
                    return Err(Error::NotFinite);
                }
                let raw = self.tokenizer.decode(&answer.tokens)?.trim().to_owned();
                let mut timing = answer.timing;
                timing.decode = decode;
                timing.image = picture.take_encoding_time();
                Ok(Answer {
                    text: plain_text(&raw),
                    raw,
                    masks: masks?,
                    doubtful: 0,
                    timing,
                })
            })
            .collect()
    }

    /// The last layer's queries of every `<obj>` of all rows, `[objects, heads, head_dim]`.
    pub(crate) fn object_queries(&self, written: &Written<B>) -> Tensor<B, 3> {
        let output = &written.output;
        let [rows, heads, length, head_dim] = output.query.dims();
        let places: Vec<i32> = written
            .objects()
            .map(|object| (object.row * length + object.position - output.offset) as i32)
            .collect();
        let count = places.len();
        let places =
            Tensor::<B, 1, Int>::from_data(TensorData::new(places, [count]), self.device());
        output
            .query
            .clone()
            .swap_dims(1, 2)
            .reshape([rows * length, heads * head_dim])
            .select(0, places)
            .reshape([count, heads, head_dim])
    }

    /// The masks of every `<obj>`, row by row, refocused by `lambda`.
    pub(crate) fn masks(
        &self,
        pictures: &[&Picture<B>],
        written: &Written<B>,
        lambda: f64,
    ) -> Vec<Result<Vec<Mask>>> {
        let output = &written.output;
        let objects: Vec<ObjectToken> = written.objects().copied().collect();
        if objects.is_empty() {
            return pictures.iter().map(|_| Ok(Vec::new())).collect();
        }
        let prompts = self.model.refocused_prompts(RefocusInput {
            query: self.object_queries(written),
            key: output.key.clone(),
            hidden: output.hidden.clone(),
            hidden_offset: output.offset,
            objects: objects.clone(),
            lambda,
        });
        let (mut logits, mut scores) = (Vec::new(), Vec::new());
        for (index, objects) in objects.chunks(OBJECTS_AT_ONCE).enumerate() {
            let prompts = prompts
                .clone()
                .narrow(0, index * OBJECTS_AT_ONCE, objects.len());
            let decoded = self
                .model
                .decode_masks(embeddings(pictures, objects), prompts);
            let estimates = decoded.iou_predictions.into_data().convert::<f32>();
            scores.extend(estimates.iter::<f32>());
            logits.push(decoded.low_res_masks);
        }
        let logits = Tensor::cat(logits, 0);
        let mut from = 0;
        let rows = pictures.iter().zip(&written.answers);
        rows.map(|(picture, answer)| {
            let own = from..from + answer.objects.len();
            from = own.end;
            match own.is_empty() {
                true => Ok(Vec::new()),
                false => {
                    let logits = logits.clone().narrow(0, own.start, own.len());
                    self.in_picture(picture, logits, &scores[own])
                }
            }
        })
        .collect()
    }

    /// Masks in the size of a picture.
    fn in_picture(
        &self,
        picture: &Picture<B>,
        logits: Tensor<B, 4>,
        scores: &[f32],
    ) -> Result<Vec<Mask>> {
        let logits = postprocess_masks(
            logits,
            picture.resized_size,
            picture.original_size,
            self.config.image_encoder.image_size,
        );
        let [height, width] = picture.original_size;
        let logits = logits.into_data().convert::<f32>();
        let logits = logits.as_slice::<f32>().expect("contiguous f32 data");
        logits
            .chunks_exact(height * width)
            .zip(scores)
            .map(|(logits, score)| {
                if !score.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
                    return Err(Error::NotFinite);
                }
                let pixels: Vec<bool> = logits.iter().map(|&logit| logit > 0.0).collect();
                Ok(Mask {
                    rle: Rle::from_mask(&pixels, [height, width])?,
                    score: score.clamp(0.0, 1.0),
                })
            })
            .collect()
    }
}

/// The picture's embedding of each object, `[objects, width, rows, columns]`; objects of a row follow one another.
fn embeddings<B: Backend>(pictures: &[&Picture<B>], objects: &[ObjectToken]) -> Tensor<B, 4> {
    let of_rows = objects.chunk_by(|one, next| one.row == next.row);
    let embeddings = of_rows.map(|objects| {
        let embedding = pictures[objects[0].row].embedding.clone();
        let [_, width, rows, columns] = embedding.dims();
        embedding.expand([objects.len(), width, rows, columns])
    });
    let mut embeddings: Vec<_> = embeddings.collect();
    match embeddings.len() {
        1 => embeddings.remove(0),
        _ => Tensor::cat(embeddings, 0),
    }
}

/// The sentence without mask tokens and the blanks they leave.
fn plain_text(raw: &str) -> String {
    let words = raw.replace(SpecialTokens::OBJECT, " ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace(" .", ".").replace(" ,", ",")
}

#[cfg(test)]
mod tests {
    use super::plain_text;

    #[test]
    fn mask_tokens_leave_no_gap() {
        assert_eq!(
            plain_text("the cat<obj>, the dog <obj>."),
            "the cat, the dog."
        );
        assert_eq!(plain_text("<obj>."), ".");
    }
}
