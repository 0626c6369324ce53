//! First step of an answer: pictures, references and prompts become inputs of the language model.

use std::sync::Arc;

use anyref_audio::AudioPreprocessor;
use anyref_llm::LlamaInput;
use anyref_ops::{each_within_pool, on_processor};
use anyref_vision::preprocess::PixelValues;
use anyref_vision::roi_align::RegionBox;
use burn::tensor::{Tensor, backend::Backend};
use web_time::Instant;

use crate::conversation::{Conversation, Turn};
use crate::layout::Layout;
use crate::memory::cache_bytes;
use crate::model::PictureFeatures;
use crate::picture::Picture;
use crate::preprocess::PicturePixels;
use crate::prompt_config::IMAGE_PLACE;
use crate::reference::{check_box, check_mask};
use crate::region_form::RegionForm;
use crate::region_prompt::TokenArea;
use crate::sam::pictures_at_once;
use crate::splice::{ReferenceBank, splice};
use crate::{AnyRef, Error, Reference, Result, Timing};

/// A question ready for the language model.
#[derive(Debug)]
pub(crate) struct EncodedQuestion<B: Backend> {
    /// The question from the picture's end on; references are counted from 0.
    pub(crate) layout: Layout,
    /// Features of its references, each `[1, tokens, hidden]`, in the order of the layout.
    pub(crate) references: Vec<Tensor<B, 3>>,
    pub(crate) timing: Timing,
}

impl<B: Backend> AnyRef<B> {
    /// Encodes pictures, as many together as SAM's memory allows. The processor encodes them side
    /// by side instead of in one batch: each core has work of its own, and since parts of its
    /// tensors share their memory, a picture of a batch would keep the whole batch.
    pub(crate) fn encode_pictures(&self, pictures: &[&PicturePixels]) -> Result<Vec<Picture<B>>> {
        let sam = self.config.image_encoder.as_ref();
        let together = sam.map_or(1, |sam| pictures_at_once(sam.image_size()));
        let mut encoded = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(together) {
            let start = Instant::now();
            let alone = match on_processor::<B>() {
                true => 1,
                false => together,
            };
            let batches: Vec<_> = pictures.chunks(alone).collect();
            let batches =
                each_within_pool::<B, _, _>(&batches, |batch| self.encode_together(batch));
            let first = encoded.len();
            for batch in batches {
                encoded.extend(batch?);
            }
            let encoding = start.elapsed() / pictures.len() as u32;
            for picture in &mut encoded[first..] {
                picture.encoding = encoding;
            }
        }
        Ok(encoded)
    }

    fn encode_together(&self, pictures: &[&PicturePixels]) -> Result<Vec<Picture<B>>> {
        let squares: Vec<_> = pictures.iter().map(|one| &one.squares[..]).collect();
        let sam: Vec<_> = pictures.iter().map(|one| one.sam.as_ref()).collect();
        let sam: Option<Vec<_>> = sam.into_iter().collect();
        let sam = match (self.sam(), sam) {
            (Some(model), Some(pixels)) => model.encode(&pixels).into_iter().map(Some).collect(),
            _ => vec![None; pictures.len()],
        };
        let mut encoded = self.encode_for_words(&squares)?;
        for ((picture, pixels), sam) in encoded.iter_mut().zip(pictures).zip(sam) {
            picture.original_size = pixels.original_size;
            picture.sam = sam;
            picture.image = pixels.image.clone();
        }
        Ok(encoded)
    }

    /// Encodes pictures, each as its squares, for the language model alone: they have no size of
    /// their own and no masks.
    pub(crate) fn encode_for_words(&self, pictures: &[&[PixelValues]]) -> Result<Vec<Picture<B>>> {
        let mut encoded = Vec::with_capacity(pictures.len());
        for alike in pictures.chunk_by(|one, next| one.len() == next.len()) {
            encoded.extend(self.encode_alike(alike)?);
        }
        Ok(encoded)
    }

    /// Encodes pictures of as many squares each.
    fn encode_alike(&self, pictures: &[&[PixelValues]]) -> Result<Vec<Picture<B>>> {
        let start = Instant::now();
        let squares = pictures.iter().copied().flatten();
        let pixels = squares.map(|square| square.to_tensor(self.device()));
        let pixels = Tensor::<B, 3>::stack::<4>(pixels.collect(), 0);
        let features = self.model.tiled_features(pixels, pictures[0].len());
        let [_, tokens, _] = features.tokens.dims();
        let spliced = splice(
            &self.model.llm,
            &vec![self.opening(tokens)?; pictures.len()],
            Some(features.tokens.clone()),
            &ReferenceBank::default(),
            0,
            self.device(),
        );
        let mut prefix = self.model.llm.new_cache();
        self.model
            .llm
            .forward(LlamaInput::new(spliced.embeddings), Some(&mut prefix));
        let encoding = start.elapsed() / pictures.len() as u32;
        let one = |index: usize| Picture {
            features: PictureFeatures {
                grid: features.grid.clone().narrow(0, index, 1),
                tokens: features.tokens.clone().narrow(0, index, 1),
                states: features.states_of(index),
            },
            region_levels: Arc::default(),
            sam: None,
            image: None,
            prefix: match pictures.len() {
                1 => prefix.clone(),
                _ => prefix.select(&[index]),
            },
            prefix_bytes: cache_bytes(
                &self.config.llm,
                prefix.len(),
                features.tokens.dtype(),
                self.model.llm.cache_type(),
            ),
            original_size: [0, 0],
            encoding,
            counted: Arc::default(),
        };
        Ok((0..pictures.len()).map(one).collect())
    }

    /// Encodes the references of a question and lays it out.
    ///
    /// # Errors
    /// When a reference cannot be encoded, or the question and its answer do not fit the context.
    pub(crate) fn encode_question(&self, asked: Conversation<'_, B>) -> Result<EncodedQuestion<B>> {
        let mut timing = Timing::default();
        let start = Instant::now();
        let mut references = Vec::new();
        for turn in asked.turns {
            for &index in &turn.question.marked {
                let reference = &turn.prompt.references[index];
                let start = Instant::now();
                references.push(self.reference_features(asked.picture, reference)?);
                if matches!(reference, Reference::Audio(_)) {
                    timing.audio += start.elapsed();
                }
            }
        }
        let lengths = references.iter().map(|features| features.dims()[1]);
        let lengths: Vec<_> = lengths.enumerate().collect();
        let layout = self.layout(asked.turns, &lengths)?;
        let context = self.config.llm.max_position_embeddings;
        let answer = self.generation.max_new_tokens;
        let length = asked.picture.prefix.len() + layout.len();
        let length = length.saturating_add(answer);
        if length > context {
            return Err(Error::ContextFull {
                length,
                answer,
                context,
            });
        }
        timing.prompt = start.elapsed().saturating_sub(timing.audio);
        Ok(EncodedQuestion {
            layout,
            references,
            timing,
        })
    }

    /// The positions up to the end of a picture of `tokens`, which are the same for all questions.
    pub(crate) fn opening(&self, tokens: usize) -> Result<Layout> {
        let prompts = &self.config.prompts;
        let asked = prompts.template.conversation();
        let asked = asked.ask(prompts.picture_markers.opening()).prompt();
        let (opening, _) = self.split_after_picture(&asked)?;
        let special = self.special_tokens();
        let mut layout = Layout::new(&opening, special, tokens, &[])?;
        if special.image_start.is_none() {
            layout.extend_image(tokens);
        }
        Ok(layout)
    }

    /// The features of one reference, `[1, tokens, hidden]`.
    fn reference_features(
        &self,
        picture: &Picture<B>,
        reference: &Reference,
    ) -> Result<Tensor<B, 3>> {
        match reference {
            Reference::Text(_) => unreachable!("phrases stand in the question"),
            Reference::Mask(mask) if self.config.prompts.regions == RegionForm::VisualPrompt => {
                check_mask(mask, picture.size())?;
                Ok(self.region_tokens(picture, TokenArea::Mask(mask)))
            }
            Reference::Mask(mask) => {
                check_mask(mask, picture.size())?;
                let region = reference.region().ok_or(Error::EmptyRegion)?;
                self.reference_features(picture, &Reference::Box(region))
            }
            Reference::Box(region) => {
                let (width, height) = picture.size();
                let [x0, y0, x1, y1] = check_box(*region, width, height)?;
                if self.config.prompts.regions == RegionForm::VisualPrompt {
                    return Ok(self.region_tokens(picture, TokenArea::Box([x0, y0, x1, y1])));
                }
                let (width, height) = (width as f32, height as f32);
                let region = RegionBox {
                    batch: 0,
                    x0: x0 / width,
                    y0: y0 / height,
                    x1: x1 / width,
                    y1: y1 / height,
                };
                if let Some(encoder) = &self.model.region_encoder {
                    let levels = picture.region_levels(encoder);
                    return Ok(encoder.regions(levels, &[region]).unsqueeze_dim(0));
                }
                let grid = picture.features.grid.clone();
                Ok(self.model.box_reference(grid, &[region]))
            }
            Reference::Image(reference) => {
                let squares = self.preprocessor().squares(reference.image())?;
                let pixels = PixelValues::batch::<B>(&squares, self.device());
                Ok(self.model.image_reference(pixels))
            }
            Reference::Audio(sound) => {
                let config = self.config.audio.as_ref().ok_or(Error::NoAudioEncoder)?;
                let features =
                    AudioPreprocessor::new(config.preprocessor.clone()).process(sound)?;
                self.model
                    .audio_reference(features.to_tensor::<B>(self.device()).unsqueeze())
                    .ok_or(Error::NoAudioEncoder)
            }
        }
    }

    /// The conversation after the picture, up to where the answer begins.
    fn layout(&self, turns: &[Turn], references: &[(usize, usize)]) -> Result<Layout> {
        let prompts = &self.config.prompts;
        let mut conversation = prompts.template.conversation();
        let mut regions = 0;
        for (index, turn) in turns.iter().enumerate() {
            let picture = match index {
                0 => {
                    prompts.picture_markers.opening()
                        + &prompts.regions.introduction(references.len())
                }
                _ => String::new(),
            };
            let question = prompts.regions.question(&turn.question.text, &mut regions);
            conversation = conversation.ask(picture + &question);
            if let Some(answer) = &turn.answer {
                conversation = conversation.answer(answer);
            }
        }
        let (_, rest) = self.split_after_picture(&conversation.open().prompt())?;
        Layout::new(&rest, self.special_tokens(), 0, references)
    }

    /// Ids up to the picture's end, its marker included where there is one, which do not depend on
    /// the question, and the rest. Texts before and after a picture without markers are encoded
    /// each by itself, as LLaVA's `tokenizer_image_token` does.
    fn split_after_picture(&self, prompt: &str) -> Result<(Vec<u32>, Vec<u32>)> {
        let begins = self.config.prompts.begins();
        let Some(image_end) = self.special_tokens().image_end else {
            let (before, after) = prompt.split_once(IMAGE_PLACE).unwrap_or((prompt, ""));
            let after = match after.is_empty() {
                true => Vec::new(),
                false => self.tokenizer.encode(after, false)?,
            };
            return Ok((self.tokenizer.encode(before, begins)?, after));
        };
        let mut ids = self.tokenizer.encode(prompt, begins)?;
        let end = ids.iter().position(|&id| id == image_end);
        let rest = ids.split_off(end.map_or(0, |end| end + 1));
        Ok((ids, rest))
    }
}
