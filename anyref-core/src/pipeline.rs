//! AnyRef as people use it: pictures and prompts in, sentences and masks out.

use std::time::Instant;

use anyref_audio::AudioPreprocessor;
use anyref_llm::conversation::llava_v1;
use anyref_llm::tokenizer::Tokenizer;
use anyref_llm::{GenerationConfig, LlamaInput};
use anyref_vision::roi_align::RegionBox;
use burn::tensor::{Tensor, backend::Backend};
use image::RgbImage;

use crate::explain::{Explanation, explain};
use crate::generation::{Conversation, Turn};
use crate::layout::Layout;
use crate::model::{AnyRefModel, PictureFeatures};
use crate::picture::Picture;
use crate::preprocess::{PicturePixels, PicturePreprocessor};
use crate::reference::check_box;
use crate::reranking::Goal;
use crate::special_tokens::SpecialTokens;
use crate::splice::{ReferenceBank, splice};
use crate::{Answer, AnyRefConfig, Chat, Error, Prompt, Reference, Result};

/// Pixels of pictures, as the image encoder takes them, that are encoded together: one of SAM's usual size, or several
/// small ones. It bounds what they take of the memory.
const PIXELS_AT_ONCE: usize = 1024 * 1024;

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

impl<B: Backend> AnyRef<B> {
    /// Puts a network and a tokenizer together. The authors' name of the mask token becomes `<obj>`
    /// ([`SpecialTokens::name_object`]).
    ///
    /// # Errors
    /// When the tokenizer lacks one of the model's special tokens or has more tokens than the model.
    pub fn new(
        config: AnyRefConfig,
        model: AnyRefModel<B>,
        mut tokenizer: Tokenizer,
        device: B::Device,
    ) -> Result<Self> {
        SpecialTokens::name_object(&mut tokenizer)?;
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

    /// Makes of pictures what [`encode`](Self::encode) takes, on any thread.
    pub fn preprocessor(&self) -> PicturePreprocessor {
        PicturePreprocessor::new(&self.config)
    }

    /// Encodes a picture, once for all questions about it.
    ///
    /// # Errors
    /// When the picture has no pixels, or the tokenizer fails.
    pub fn picture(&self, image: &RgbImage) -> Result<Picture<B>> {
        let start = Instant::now();
        let pixels = self.preprocessor().process(image)?;
        let mut picture = only(self.encode(&[&pixels])?);
        picture.encoding = start.elapsed();
        Ok(picture)
    }

    /// As [`picture`](Self::picture), of pictures that were pre-processed before, several at a time. Each has its share
    /// of the time that all took.
    ///
    /// # Errors
    /// When the tokenizer fails.
    ///
    /// # Panics
    /// When a picture was pre-processed for a model of other sizes.
    pub fn encode(&self, pictures: &[&PicturePixels]) -> Result<Vec<Picture<B>>> {
        let side = self.config.image_encoder.image_size.max(1);
        let together = (PIXELS_AT_ONCE / (side * side)).max(1);
        let mut encoded = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(together) {
            encoded.extend(self.encode_together(pictures)?);
        }
        Ok(encoded)
    }

    fn encode_together(&self, pictures: &[&PicturePixels]) -> Result<Vec<Picture<B>>> {
        let start = Instant::now();
        let batch = |pixels: &dyn Fn(&PicturePixels) -> Tensor<B, 3>| {
            Tensor::<B, 3>::stack::<4>(pictures.iter().map(|one| pixels(one)).collect(), 0)
        };
        let clip = batch(&|one| one.clip.to_tensor(&self.device));
        let features = self.model.picture_features(clip);
        let sam = batch(&|one| one.sam.pixels.to_tensor(&self.device));
        let embeddings = self.model.image_encoder.forward(sam);

        let spliced = splice(
            &self.model.llm,
            &vec![self.opening()?; pictures.len()],
            Some(features.tokens.clone()),
            &ReferenceBank::default(),
            0,
            &self.device,
        );
        let mut prefix = self.model.llm.new_cache();
        self.model
            .llm
            .forward(LlamaInput::new(spliced.embeddings), Some(&mut prefix));
        let encoding = start.elapsed() / pictures.len() as u32;
        let one = |(index, picture): (usize, &&PicturePixels)| Picture {
            features: PictureFeatures {
                grid: features.grid.clone().narrow(0, index, 1),
                tokens: features.tokens.clone().narrow(0, index, 1),
            },
            embedding: embeddings.clone().narrow(0, index, 1),
            prefix: match pictures.len() {
                1 => prefix.clone(),
                _ => prefix.select(&[index]),
            },
            original_size: picture.sam.original_size,
            resized_size: picture.sam.resized_size,
            encoding,
            counted: Default::default(),
        };
        Ok(pictures.iter().enumerate().map(one).collect())
    }

    /// Masks of what the prompt refers to, with the sentence that names them.
    ///
    /// # Errors
    /// When the prompt is empty, does not fit the context or has a bad reference.
    pub fn segment(&self, picture: &Picture<B>, prompt: &Prompt) -> Result<Answer> {
        self.ask(picture, prompt, Goal::Masks)
    }

    /// The referring expression of a box (or of any reference). Among several answers
    /// ([`AnyRefConfig::candidates`]) the choice is made for the default question alone: what a question of one's own
    /// is answered with may not be an expression.
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    pub fn describe(&self, picture: &Picture<B>, prompt: &Prompt) -> Result<Answer> {
        self.ask(picture, prompt, Goal::Description)
    }

    /// As [`segment`](Self::segment), for several questions at once, about one picture or several: their answers are
    /// written in one batch, and their masks decoded together. Answers are the same as one by one; sampled ones, and those
    /// chosen among several, are asked one by one. Of what is done together each has its share of the time.
    ///
    /// # Errors
    /// A question that cannot be asked has its error in its place, as of [`segment`](Self::segment), and does not keep
    /// the others from being asked.
    pub fn segment_all(&self, questions: &[(&Picture<B>, &Prompt)]) -> Vec<Result<Answer>> {
        self.ask_all(questions, Goal::Masks)
    }

    /// As [`describe`](Self::describe), for several questions at once.
    ///
    /// # Errors
    /// As [`segment_all`](Self::segment_all).
    pub fn describe_all(&self, questions: &[(&Picture<B>, &Prompt)]) -> Vec<Result<Answer>> {
        self.ask_all(questions, Goal::Description)
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
        let turns = [Turn::new(prompt.segmentation()?, prompt)];
        let asked = Conversation {
            picture,
            turns: &turns,
        };
        let (answer, written) = match self.chooses() {
            true => {
                let chosen = self.choose(asked, Goal::Masks)?;
                let written = self.write_given(&chosen.question, &[chosen.tokens]);
                (chosen.answer, written)
            }
            false => {
                let mut bank = ReferenceBank::default();
                let question = self.read(asked, &mut bank)?;
                let written = self.write(&[asked], vec![question], &bank, &mut |_, _| {});
                (only(self.point(&[asked], &written))?, written)
            }
        };
        let explanations = explain(self, picture, &written, &answer.masks)?;
        Ok((self.without_doubtful(answer), explanations))
    }

    /// A conversation about the picture.
    pub fn chat<'a>(&'a self, picture: &'a Picture<B>) -> Chat<'a, B> {
        Chat::new(self, picture)
    }

    fn ask(&self, picture: &Picture<B>, prompt: &Prompt, goal: Goal) -> Result<Answer> {
        let turns = [Turn::new(goal.question(prompt)?, prompt)];
        if !self.chooses() || goal.is_open(prompt) {
            return self.answer(picture, &turns, &mut |_| {});
        }
        let asked = Conversation {
            picture,
            turns: &turns,
        };
        Ok(self.without_doubtful(self.choose(asked, goal)?.answer))
    }

    fn ask_all(&self, questions: &[(&Picture<B>, &Prompt)], goal: Goal) -> Vec<Result<Answer>> {
        if self.chooses() {
            let asked = questions.iter();
            return asked
                .map(|(picture, prompt)| self.ask(picture, prompt, goal))
                .collect();
        }
        let answers = self.greedy_answers(questions, goal).into_iter();
        answers
            .map(|answer| Ok(self.without_doubtful(answer?)))
            .collect()
    }

    /// The answers that are generated word by word, untried, with all their masks.
    pub(crate) fn greedy_answers(
        &self,
        questions: &[(&Picture<B>, &Prompt)],
        goal: Goal,
    ) -> Vec<Result<Answer>> {
        let turn = |prompt: &Prompt| Ok([Turn::new(goal.question(prompt)?, prompt)]);
        let turns: Vec<Result<[Turn; 1]>> = questions.iter().map(|(_, p)| turn(p)).collect();
        let asked: Vec<Conversation<B>> = questions
            .iter()
            .zip(&turns)
            .filter_map(|((picture, _), turns)| {
                let turns = turns.as_ref().ok()?;
                Some(Conversation { picture, turns })
            })
            .collect();
        let mut answers = self.answer_all(&asked, &mut |_, _| {}).into_iter();
        turns
            .into_iter()
            .map(|turns| {
                turns?;
                answers.next().expect("every question that is one is asked")
            })
            .collect()
    }

    /// Answers the last of `turns`.
    pub(crate) fn answer(
        &self,
        picture: &Picture<B>,
        turns: &[Turn],
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer> {
        let asked = Conversation { picture, turns };
        let answer = only(self.answer_all(&[asked], &mut |_, text| on_text(text)))?;
        Ok(self.without_doubtful(answer))
    }

    /// Answers the last question of each conversation, with all masks.
    fn answer_all(
        &self,
        asked: &[Conversation<'_, B>],
        on_text: &mut dyn FnMut(usize, &str),
    ) -> Vec<Result<Answer>> {
        // Rows of a batch draw differently, so that a sampled answer would depend on its place.
        let together = match self.generation.is_greedy() {
            true => asked.len().max(1),
            false => 1,
        };
        let batches = asked.chunks(together);
        batches
            .flat_map(|asked| self.answer_batch(asked, on_text))
            .collect()
    }

    fn answer_batch(
        &self,
        asked: &[Conversation<'_, B>],
        on_text: &mut dyn FnMut(usize, &str),
    ) -> Vec<Result<Answer>> {
        let mut bank = ReferenceBank::default();
        let (mut rows, mut questions) = (Vec::new(), Vec::new());
        let read: Vec<Result<()>> = asked
            .iter()
            .map(|&row| {
                questions.push(self.read(row, &mut bank)?);
                rows.push(row);
                Ok(())
            })
            .collect();
        let mut answers = match rows.is_empty() {
            true => Vec::new().into_iter(),
            false => {
                let written = self.write(&rows, questions, &bank, on_text);
                self.point(&rows, &written).into_iter()
            }
        };
        read.into_iter()
            .map(|read| {
                read?;
                answers
                    .next()
                    .expect("every question that was read is answered")
            })
            .collect()
    }

    /// The positions up to the picture's end, which are the same for all questions.
    pub(crate) fn opening(&self) -> Result<Layout> {
        let ids = self
            .tokenizer
            .encode(&llava_v1().ask(image_marker()).prompt(), true)?;
        let (opening, _) = self.split_after_picture(&ids);
        Layout::new(opening, &self.special, self.config.image_tokens(), &[])
    }

    /// The features of one reference, `[1, tokens, hidden]`.
    pub(crate) fn reference_features(
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
            Reference::Image(reference) => {
                let pixels = self.preprocessor().clip(reference.image())?;
                let pixels = pixels.to_tensor::<B>(&self.device).unsqueeze();
                Ok(self.model.image_reference(pixels))
            }
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
    pub(crate) fn layout(&self, turns: &[Turn], references: &[(usize, usize)]) -> Result<Layout> {
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
}

/// What belongs to the only question or picture.
fn only<T>(of_each: Vec<T>) -> T {
    let mut of_each = of_each.into_iter();
    of_each.next().expect("one for the only one")
}

/// The markers between which the picture is spliced in.
pub(crate) fn image_marker() -> String {
    SpecialTokens::IMAGE.concat()
}
