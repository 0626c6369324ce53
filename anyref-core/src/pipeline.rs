//! AnyRef as people use it: pictures and prompts in, sentences and masks out.

use std::time::Instant;

use anyref_audio::AudioPreprocessor;
use anyref_decoder::refocus::{ObjectToken, RefocusInput};
use anyref_decoder::{postprocess_masks, rle::Rle};
use anyref_llm::conversation::llava_v1;
use anyref_llm::tokenizer::Tokenizer;
use anyref_llm::{GenerationConfig, GenerationInput, GenerationOutput, LlamaInput, generate};
use anyref_vision::preprocess::{ClipPreprocessor, SamPreprocessor};
use anyref_vision::roi_align::RegionBox;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use image::RgbImage;

use crate::explain::{Explanation, explain};
use crate::layout::{Layout, ObjectSpan, object_spans};
use crate::model::AnyRefModel;
use crate::picture::Picture;
use crate::prompt::Question;
use crate::reference::check_box;
use crate::special_tokens::SpecialTokens;
use crate::splice::{ReferenceBank, splice};
use crate::{Answer, AnyRefConfig, Chat, Error, Mask, Prompt, Reference, Result, Timing};

/// The model with its tokenizer and pre-processing.
#[derive(Debug)]
pub struct AnyRef<B: Backend> {
    /// What the model is made of.
    pub config: AnyRefConfig,
    /// The network.
    pub model: AnyRefModel<B>,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// How answers are generated.
    pub generation: GenerationConfig,
    special: SpecialTokens,
    device: B::Device,
}

/// One question of a conversation, with its answer once there is one.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) question: Question,
    pub(crate) references: Vec<Reference>,
    pub(crate) answer: Option<String>,
}

impl Turn {
    fn new(question: Question, prompt: &Prompt) -> Self {
        Self {
            question,
            references: prompt.references.clone(),
            answer: None,
        }
    }
}

/// A generated answer before anything is decoded.
#[derive(Debug)]
pub(crate) struct Written<B: Backend> {
    /// The sentence with its `<obj>`.
    raw: String,
    /// What the question became, from the picture's end on.
    pub(crate) question: Layout,
    /// The language model's states.
    pub(crate) output: GenerationOutput<B>,
    /// Every `<obj>`.
    pub(crate) objects: Vec<ObjectToken>,
    timing: Timing,
}

impl<B: Backend> AnyRef<B> {
    /// Puts a network and a tokenizer together.
    ///
    /// # Errors
    /// When the tokenizer lacks one of the model's special tokens or has more tokens than the model.
    pub fn new(
        config: AnyRefConfig,
        model: AnyRefModel<B>,
        tokenizer: Tokenizer,
        device: B::Device,
    ) -> Result<Self> {
        let special = SpecialTokens::of(&tokenizer)?;
        let [known, _] = model.llm.model.embed_tokens.weight.lazy_shape().dims::<2>();
        if tokenizer.vocab_size() > known {
            return Err(Error::Vocabulary {
                tokenizer: tokenizer.vocab_size(),
                model: known,
            });
        }
        let generation = GenerationConfig {
            max_new_tokens: config.max_new_tokens,
            stop_tokens: vec![special.end],
            ..GenerationConfig::default()
        };
        Ok(Self {
            config,
            model,
            tokenizer,
            generation,
            special,
            device,
        })
    }

    /// Ids of the special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// Where the model computes.
    pub fn device(&self) -> &B::Device {
        &self.device
    }

    /// Encodes a picture, once for all questions about it.
    ///
    /// # Errors
    /// When the picture has no pixels.
    pub fn picture(&self, image: &RgbImage) -> Result<Picture<B>> {
        let start = Instant::now();
        let clip = self.clip_pixels(image)?;
        let sam = SamPreprocessor::new(self.config.image_encoder.image_size).process(image);
        let features = self.model.picture_features(clip);
        let embedding = self
            .model
            .image_encoder
            .forward(sam.pixels.to_tensor::<B>(&self.device).unsqueeze());

        let spliced = splice(
            &self.model.llm,
            &[self.opening()?],
            Some(features.tokens.clone()),
            &ReferenceBank::default(),
            0,
            &self.device,
        );
        let mut prefix = self.model.llm.new_cache();
        self.model
            .llm
            .forward(LlamaInput::new(spliced.embeddings), Some(&mut prefix));
        Ok(Picture {
            features,
            embedding,
            prefix,
            original_size: sam.original_size,
            resized_size: sam.resized_size,
            encoding: start.elapsed(),
            counted: Default::default(),
        })
    }

    /// Masks of what the prompt refers to, with the sentence that names them.
    ///
    /// # Errors
    /// When the prompt is empty, does not fit the context or has a bad reference.
    pub fn segment(&self, picture: &Picture<B>, prompt: &Prompt) -> Result<Answer> {
        self.ask(picture, prompt.segmentation()?, prompt)
    }

    /// The referring expression of a box (or of any reference).
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    pub fn describe(&self, picture: &Picture<B>, prompt: &Prompt) -> Result<Answer> {
        self.ask(picture, prompt.description()?, prompt)
    }

    /// As [`segment`](Self::segment), and what each `<obj>` of the answer looked at.
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    pub fn explain(
        &self,
        picture: &Picture<B>,
        prompt: &Prompt,
    ) -> Result<(Answer, Vec<Explanation>)> {
        let turn = Turn::new(prompt.segmentation()?, prompt);
        let written = self.write(picture, &[turn], &mut |_| {})?;
        let answer = self.point(picture, &written)?;
        let explanations = explain(self, picture, &written, &answer.masks)?;
        Ok((answer, explanations))
    }

    /// A conversation about the picture.
    pub fn chat<'a>(&'a self, picture: &'a Picture<B>) -> Chat<'a, B> {
        Chat::new(self, picture)
    }

    fn ask(&self, picture: &Picture<B>, question: Question, prompt: &Prompt) -> Result<Answer> {
        let turn = Turn::new(question, prompt);
        self.answer(picture, &[turn], &mut |_| {})
    }

    /// Answers the last of `turns`.
    pub(crate) fn answer(
        &self,
        picture: &Picture<B>,
        turns: &[Turn],
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer> {
        let written = self.write(picture, turns, on_text)?;
        self.point(picture, &written)
    }

    /// The masks of what was written.
    fn point(&self, picture: &Picture<B>, written: &Written<B>) -> Result<Answer> {
        let start = Instant::now();
        let masks = self.masks(picture, written, self.model.refocus_lambda())?;
        let mut timing = written.timing;
        timing.decode = start.elapsed();
        timing.image = picture.take_encoding_time();
        Ok(Answer {
            text: plain_text(&written.raw),
            raw: written.raw.clone(),
            masks,
            timing,
        })
    }

    /// Writes the answer to the last of `turns`.
    fn write(
        &self,
        picture: &Picture<B>,
        turns: &[Turn],
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Written<B>> {
        let mut timing = Timing::default();
        let start = Instant::now();
        let mut bank = ReferenceBank::default();
        let mut references = Vec::new();
        for turn in turns {
            for &index in &turn.question.marked {
                let sound = Instant::now();
                let features = self.reference_features(picture, &turn.references[index])?;
                if matches!(turn.references[index], Reference::Audio(_)) {
                    timing.audio += sound.elapsed();
                }
                let entry = bank.push(features);
                references.push((entry, bank.length(entry)));
            }
        }
        let layout = self.layout(turns, &references)?;
        let past = picture.prefix.len();
        let answer_start = past + layout.len();
        let context = self.config.llm.max_position_embeddings;
        let length = answer_start + self.generation.max_new_tokens;
        if length > context {
            return Err(Error::ContextFull { length, context });
        }
        let row = std::slice::from_ref(&layout);
        let spliced = splice(&self.model.llm, row, None, &bank, past, &self.device);
        timing.prompt = start.elapsed().saturating_sub(timing.audio);

        let start = Instant::now();
        let mut written = String::new();
        let mut ids = Vec::new();
        let output = generate(
            &self.model.llm,
            GenerationInput {
                embeddings: spliced.embeddings,
                padding: None,
                cache: Some(picture.prefix.clone()),
            },
            &self.generation,
            &mut |_, token| {
                ids.push(token);
                if let Ok(text) = self.tokenizer.decode(&ids)
                    && let Some(new) = text.strip_prefix(&written)
                    && !new.is_empty()
                    && !new.ends_with('\u{fffd}')
                {
                    on_text(new);
                    written = text;
                }
                true
            },
        );
        timing.generate = start.elapsed();

        let tokens = &output.tokens[0];
        let whole = self.tokenizer.decode(tokens)?;
        // What an unfinished character at the very end still holds back.
        if let Some(rest) = whole.strip_prefix(&written)
            && !rest.is_empty()
        {
            on_text(rest);
        }
        Ok(Written {
            raw: whole.trim().to_owned(),
            objects: self.objects(&output, answer_start),
            question: layout,
            output,
            timing,
        })
    }

    /// The positions up to the picture's end, which are the same for all questions.
    pub(crate) fn opening(&self) -> Result<Layout> {
        let ids = self
            .tokenizer
            .encode(&llava_v1().ask(image_marker()).prompt(), true)?;
        let (opening, _) = self.split_after_picture(&ids);
        Layout::new(opening, &self.special, self.config.image_tokens(), &[])
    }

    /// CLIP's input of one picture, `[1, 3, size, size]`.
    fn clip_pixels(&self, image: &RgbImage) -> Result<Tensor<B, 4>> {
        if image.width() == 0 || image.height() == 0 {
            return Err(Error::EmptyPicture);
        }
        let pixels = ClipPreprocessor::new(self.config.vision_tower.image_size).process(image);
        Ok(pixels.to_tensor::<B>(&self.device).unsqueeze())
    }

    /// The features of one reference, `[1, tokens, hidden]`.
    fn reference_features(
        &self,
        picture: &Picture<B>,
        reference: &Reference,
    ) -> Result<Tensor<B, 3>> {
        match reference {
            Reference::Text(_) => unreachable!("phrases stand in the question"),
            Reference::Box(region) => {
                let (width, height) = picture.size();
                let [x0, y0, x1, y1] = check_box(*region, width, height)?;
                let (width, height) = (width as f32, height as f32);
                let region = RegionBox {
                    batch: 0,
                    x0: x0 / width,
                    y0: y0 / height,
                    x1: x1 / width,
                    y1: y1 / height,
                };
                Ok(self
                    .model
                    .box_reference(picture.features.grid.clone(), &[region]))
            }
            Reference::Image(reference) => Ok(self
                .model
                .image_reference(self.clip_pixels(reference.image())?)),
            Reference::Audio(sound) => {
                let config = self.config.audio.as_ref().ok_or(Error::NoAudioEncoder)?;
                let features =
                    AudioPreprocessor::new(config.preprocessor.clone()).process(sound)?;
                self.model
                    .audio_reference(features.to_tensor::<B>(&self.device).unsqueeze())
                    .ok_or(Error::NoAudioEncoder)
            }
        }
    }

    /// The conversation after the picture, up to where the answer begins.
    fn layout(&self, turns: &[Turn], references: &[(usize, usize)]) -> Result<Layout> {
        let mut conversation = llava_v1();
        for (index, turn) in turns.iter().enumerate() {
            let picture = if index == 0 {
                format!("{}\n", image_marker())
            } else {
                String::new()
            };
            conversation = conversation.ask(format!("{picture}{}", turn.question.text));
            if let Some(answer) = &turn.answer {
                conversation = conversation.answer(answer);
            }
        }
        let ids = self.tokenizer.encode(&conversation.open().prompt(), true)?;
        let (_, rest) = self.split_after_picture(&ids);
        Layout::new(rest, &self.special, 0, references)
    }

    /// Ids up to and with `<im_end>`, which do not depend on the question, and the rest.
    fn split_after_picture<'a>(&self, ids: &'a [u32]) -> (&'a [u32], &'a [u32]) {
        let end = ids
            .iter()
            .position(|&id| id == self.special.image_end)
            .map_or(0, |end| end + 1);
        ids.split_at(end)
    }

    /// Where every `<obj>` of a generated answer stands.
    fn objects(&self, output: &GenerationOutput<B>, answer_start: usize) -> Vec<ObjectToken> {
        let spans = object_spans(&output.tokens[0], self.special.object, answer_start);
        let object = |span: ObjectSpan| ObjectToken {
            row: 0,
            position: span.position,
            start: span.start,
            end: span.position,
            context_start: 0,
        };
        spans.into_iter().map(object).collect()
    }

    /// The last layer's queries of every `<obj>`, `[objects, heads, head_dim]`.
    pub(crate) fn object_queries(&self, written: &Written<B>) -> Tensor<B, 3> {
        let Written {
            output, objects, ..
        } = written;
        let positions: Vec<i32> = objects
            .iter()
            .map(|object| (object.position - output.offset) as i32)
            .collect();
        let count = positions.len();
        let positions =
            Tensor::<B, 1, Int>::from_data(TensorData::new(positions, [count]), &self.device);
        output
            .query
            .clone()
            .select(2, positions)
            .squeeze_dim::<3>(0)
            .swap_dims(0, 1)
    }

    /// Decodes the masks of every `<obj>` in a generated answer, refocused by `lambda`.
    pub(crate) fn masks(
        &self,
        picture: &Picture<B>,
        written: &Written<B>,
        lambda: f64,
    ) -> Result<Vec<Mask>> {
        let Written {
            output, objects, ..
        } = written;
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let prompts = self.model.refocused_prompts(RefocusInput {
            query: self.object_queries(written),
            key: output.key.clone(),
            hidden: output.hidden.clone(),
            hidden_offset: output.offset,
            objects: objects.clone(),
            lambda,
        });
        let [_, width, rows, columns] = picture.embedding.dims();
        let embeddings = picture
            .embedding
            .clone()
            .expand([objects.len(), width, rows, columns]);
        let decoded = self.model.decode_masks(embeddings, prompts);
        let scores = decoded.iou_predictions.into_data().convert::<f32>();
        let scores: Vec<f32> = scores.iter::<f32>().collect();
        let logits = postprocess_masks(
            decoded.low_res_masks,
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
                let pixels: Vec<bool> = logits.iter().map(|&logit| logit > 0.0).collect();
                Ok(Mask {
                    rle: Rle::from_mask(&pixels, [height, width])?,
                    score: score.clamp(0.0, 1.0),
                })
            })
            .collect()
    }
}

/// The markers between which the picture is spliced in.
pub(crate) fn image_marker() -> String {
    SpecialTokens::IMAGE.concat()
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
