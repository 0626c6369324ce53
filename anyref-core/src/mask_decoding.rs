//! Third step of an answer: the states of every `<obj>` become masks in the size of their pictures.

use anyref_decoder::refocus::{ObjectToken, RefocusInput};
use anyref_decoder::rle::Rle;
use anyref_decoder::{MaskDecoderOutput, PromptInput};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use web_time::Instant;

use crate::conversation::{Conversation, Goal};
use crate::generation::Generated;
use crate::mask_prompts::best_masks;
use crate::picture::Picture;
use crate::read::read;
use crate::sam::{LowResMask, in_square};
use crate::sentence::Sentence;
use crate::{Answer, AnyRef, Error, Mask, Result};

/// Objects decoded in one call, which bounds the memory they take.
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

    /// Generated answers with all their masks; an error in the place of an answer that was
    /// generated from states that are not numbers.
    ///
    /// # Errors
    /// When the device cannot compute.
    pub(crate) async fn decode(
        &self,
        asked: &[Conversation<'_, B>],
        generated: &Generated<B>,
    ) -> Result<Vec<Result<Answer>>> {
        let start = Instant::now();
        let pictures: Vec<&Picture<B>> = asked.iter().map(|row| row.picture).collect();
        let lambda = self.model.refocus_lambda();
        let refinable = |row: usize| asked[row].goal == Goal::Chat;
        let masks = self.masks(&pictures, generated, lambda, refinable);
        let masks = masks.await?;
        let decode = start.elapsed() / asked.len().max(1) as u32;
        let not_finite = generated.not_finite().await?;
        let rows = generated.answers.iter().zip(masks).zip(pictures);
        let answers = rows
            .zip(not_finite)
            .map(|(((answer, masks), picture), not_finite)| {
                if not_finite {
                    return Err(Error::NotFinite);
                }
                let raw = self.tokenizer.decode(&answer.tokens)?.trim().to_owned();
                let mut timing = answer.timing;
                timing.decode += decode;
                timing.image = picture.take_encoding_time();
                let sentence = Sentence::of(&raw, self.config.prompts.phrases);
                let mut masks = masks?;
                for (mask, words) in masks.iter_mut().zip(sentence.words) {
                    mask.words = words;
                }
                Ok(Answer {
                    text: sentence.text,
                    raw,
                    masks,
                    doubtful: 0,
                    bridges: Vec::new(),
                    timing,
                })
            });
        Ok(answers.collect())
    }

    /// Masks of objects by SAM 2, of its three each the best: the prompts of a picture together.
    fn decode_by_sam2(
        &self,
        pictures: &[&Picture<B>],
        objects: &[ObjectToken],
        prompts: Tensor<B, 2>,
    ) -> Result<MaskDecoderOutput<B>> {
        let sam = self.sam().ok_or(Error::NoMasks)?;
        let (mut masks, mut estimates) = (Vec::new(), Vec::new());
        let mut from = 0;
        for objects in objects.chunk_by(|one, next| one.row == next.row) {
            let picture = pictures[objects[0].row].sam()?;
            let prompts = prompts.clone().narrow(0, from, objects.len());
            let prompts = PromptInput::default().with_embeddings(prompts.unsqueeze_dim(1));
            let decoded = best_masks(sam.decode(picture, prompts, true));
            masks.push(decoded.low_res_masks);
            estimates.push(decoded.iou_predictions);
            from += objects.len();
        }
        Ok(MaskDecoderOutput {
            low_res_masks: Tensor::cat(masks, 0),
            iou_predictions: Tensor::cat(estimates, 0),
        })
    }

    /// The last layer's queries of these `<obj>`, `[objects, heads, head_dim]`.
    pub(crate) fn object_queries(
        &self,
        generated: &Generated<B>,
        objects: &[ObjectToken],
    ) -> Tensor<B, 3> {
        let output = &generated.output;
        let [rows, heads, length, head_dim] = output.query.dims();
        let places: Vec<i32> = objects
            .iter()
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

    /// Decodes the masks of every `<obj>`, row by row, refocused by `lambda`, after those that were
    /// decoded early. Masks of `refinable` rows keep their logits.
    pub(crate) async fn masks(
        &self,
        pictures: &[&Picture<B>],
        generated: &Generated<B>,
        lambda: f64,
        refinable: impl Fn(usize) -> bool,
    ) -> Result<Vec<Result<Vec<Mask>>>> {
        let output = &generated.output;
        let objects: Vec<ObjectToken> = generated.undecoded().copied().collect();
        let early = generated.answers.iter().map(|answer| &answer.early);
        if objects.is_empty() {
            return Ok(early.map(|early| Ok(early.clone())).collect());
        }
        let prompts = self.model.refocused_prompts(RefocusInput {
            query: self.object_queries(generated, &objects),
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
            let decoded = match self.model.masks() {
                Some(_) => {
                    let embeddings = embeddings(pictures, objects)?;
                    self.model.decode_masks(embeddings, prompts)
                }
                None => self.decode_by_sam2(pictures, objects, prompts)?,
            };
            let estimates = read(decoded.iou_predictions).await?.convert::<f32>();
            scores.extend(estimates.iter::<f32>());
            logits.push(decoded.low_res_masks);
        }
        let logits = Tensor::cat(logits, 0);
        let mut from = 0;
        let mut masks = Vec::with_capacity(pictures.len());
        for (row, (picture, answer)) in pictures.iter().zip(&generated.answers).enumerate() {
            let own = from..from + answer.objects.len() - answer.early.len();
            from = own.end;
            let mut all = answer.early.clone();
            if own.is_empty() {
                masks.push(Ok(all));
                continue;
            }
            let logits = logits.clone().narrow(0, own.start, own.len());
            let own = self.in_picture(picture, logits, &scores[own], refinable(row));
            masks.push(own.await?.map(|own| {
                all.extend(own);
                all
            }));
        }
        Ok(masks)
    }

    /// Masks in the size of a picture; an error in their place where one is not of numbers.
    async fn in_picture(
        &self,
        picture: &Picture<B>,
        logits: Tensor<B, 4>,
        scores: &[f32],
        refinable: bool,
    ) -> Result<Result<Vec<Mask>>> {
        if scores.iter().any(|score| !score.is_finite()) {
            return Ok(Err(Error::NotFinite));
        }
        let sam = picture.sam()?;
        let mut masks = Vec::with_capacity(scores.len());
        let low_res = match refinable {
            true => low_res_masks(logits.clone()).await?,
            false => Vec::new(),
        };
        let image_size = self.config.image_encoder.as_ref();
        let image_size = image_size.ok_or(Error::NoMasks)?.image_size();
        // By way of the encoder's square, as Sa2VA brings SAM 2's masks to the picture's size too.
        let square = (sam.resized_size, image_size);
        let decoded = in_square(sam, logits, square, |index, logits| {
            let pixels: Vec<bool> = logits.iter().map(|&logit| logit > 0.0).collect();
            masks.push(Mask {
                rle: Rle::from_mask(&pixels, sam.original_size)?,
                score: scores[index].clamp(0.0, 1.0),
                words: None,
                low_res: low_res.get(index).cloned(),
            });
            Ok(())
        });
        match decoded.await {
            Ok(()) => Ok(Ok(masks)),
            Err(Error::NotFinite) => Ok(Err(Error::NotFinite)),
            Err(error) => Err(error),
        }
    }
}

/// Logits of each mask, `[masks, 1, rows, columns]`, read.
async fn low_res_masks<B: Backend>(logits: Tensor<B, 4>) -> Result<Vec<LowResMask>> {
    let [_, _, rows, columns] = logits.dims();
    let logits = read(logits).await?.convert::<f32>();
    let logits = logits.as_slice::<f32>().expect("contiguous f32 data");
    let masks = logits.chunks_exact(rows * columns);
    Ok(masks.map(LowResMask::new).collect())
}

/// The picture's embedding of each object, `[objects, width, rows, columns]`; objects of a row
/// follow one another.
fn embeddings<B: Backend>(
    pictures: &[&Picture<B>],
    objects: &[ObjectToken],
) -> Result<Tensor<B, 4>> {
    let of_rows = objects.chunk_by(|one, next| one.row == next.row);
    let embeddings = of_rows.map(|objects| {
        let embedding = pictures[objects[0].row].sam()?.embedding.clone();
        let [_, width, rows, columns] = embedding.dims();
        Ok(embedding.expand([objects.len(), width, rows, columns]))
    });
    let mut embeddings = embeddings.collect::<Result<Vec<_>>>()?;
    Ok(match embeddings.len() {
        1 => embeddings.remove(0),
        _ => Tensor::cat(embeddings, 0),
    })
}
