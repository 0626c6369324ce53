//! Second step of an answer: generation by the language model, greedy, sampled or by beam search.

use std::ops::ControlFlow;
use std::time::Duration;

use anyref_decoder::refocus::ObjectToken;
use anyref_llm::Tokenizer;
use anyref_llm::{
    Beam, BeamConfig, Generation, GenerationInput, GenerationOutput, KvCache, LlamaInput,
    beam_search_async, read_continuations,
};
use burn::tensor::{Tensor, backend::Backend};
use web_time::Instant;

use crate::conversation::Conversation;
use crate::early_masks::EarlyMasks;
use crate::encoding::EncodedQuestion;
use crate::layout::{Layout, ObjectSpan, ObjectState};
use crate::observer::{Cancel, Observer};
use crate::read::read;
use crate::splice::{ReferenceBank, splice_left};
use crate::{AnyRef, Mask, Result, Timing};

/// Generated answers before masks are decoded.
#[derive(Debug)]
pub(crate) struct Generated<B: Backend> {
    /// Answers, one per row.
    pub(crate) answers: Vec<GeneratedAnswer>,
    /// States of the language model. Shorter questions are left-padded; in the keys, their padding
    /// precedes the picture, so that picture and question are adjacent.
    pub(crate) output: GenerationOutput<B>,
}

/// Single generated answer.
#[derive(Debug)]
pub(crate) struct GeneratedAnswer {
    pub(crate) tokens: Vec<u32>,
    /// Layout of the question after the picture.
    pub(crate) question: Layout,
    /// Position of every `<obj>`.
    pub(crate) objects: Vec<ObjectToken>,
    /// Masks of the first `<obj>`, decoded while the answer was generated.
    pub(crate) early: Vec<Mask>,
    pub(crate) timing: Timing,
}

impl<B: Backend> Generated<B> {
    /// Iterates over the `<obj>` of all rows whose masks are not decoded yet.
    pub(crate) fn undecoded(&self) -> impl Iterator<Item = &ObjectToken> {
        let answers = self.answers.iter();
        answers.flat_map(|answer| &answer.objects[answer.early.len()..])
    }

    /// Returns for each row whether its answer began from a state with NaN, which makes it
    /// meaningless.
    pub(crate) async fn not_finite(&self) -> Result<Vec<bool>> {
        let output = &self.output;
        let began = output.first.iter().enumerate();
        let began = began.map(|(row, &column)| {
            let state = output.hidden.clone().narrow(0, row, 1);
            state.narrow(1, column, 1)
        });
        let nan = Tensor::cat(began.collect(), 0).is_nan().any_dim(2);
        Ok(read(nan).await?.iter::<bool>().collect())
    }
}

/// Question whose positions, except for the last, have been processed by the language model.
#[derive(Debug)]
pub(crate) struct Prefilled<B: Backend> {
    input: GenerationInput<B>,
    layout: Layout,
    pub(crate) timing: Timing,
}

impl<B: Backend> AnyRef<B> {
    /// Generates the answers to encoded questions, one row each, greedily or by sampling. The
    /// observer receives each row's text as it is generated, and its masks where it wants them.
    pub(crate) async fn generate(
        &self,
        asked: &[Conversation<'_, B>],
        questions: Vec<EncodedQuestion<B>>,
        observer: &mut dyn Observer,
        cancel: &Cancel,
    ) -> Result<Generated<B>> {
        let start = Instant::now();
        let prefixes: Vec<_> = asked.iter().map(|row| row.picture.prefix.clone()).collect();
        let prefix = KvCache::cat(&prefixes);
        let prefix_length = prefix.len();
        let (layouts, timings, bank) = self.in_one_bank(questions);
        let spliced = splice_left(
            &self.model.llm,
            &layouts,
            &bank,
            prefix_length,
            self.device(),
        );
        let longest = spliced.embeddings.dims()[1];
        let places = RowPlaces {
            prefix: prefix_length,
            answer_start: prefix_length + longest,
            padding: spliced.lengths.iter().map(|n| longest - n).collect(),
        };
        let share = asked.len().max(1) as u32;
        let prompt = start.elapsed() / share;

        let start = Instant::now();
        let mut streams = vec![Stream::default(); asked.len()];
        let input = GenerationInput {
            embeddings: spliced.embeddings,
            padding: spliced.padding,
            cache: Some(prefix),
        };
        let mut early = EarlyMasks::new(asked.len(), observer);
        let mut decoding = Duration::ZERO;
        let mut generation = Generation::start(&self.model.llm, input, &self.generation).await?;
        while let Some(chosen) = generation.step().await? {
            for (row, token) in chosen {
                cancel.check()?;
                let stream = &mut streams[row];
                if let Some(text) = stream.push(token, &self.tokenizer) {
                    stream.stopped = observer.text(row, &text).is_break();
                }
                if stream.stopped {
                    generation.end(row);
                    early.end(row);
                }
            }
            cancel.check()?;
            if early.any_wanted() {
                let start = Instant::now();
                self.decode_early(asked, &places, &generation, &mut early, observer)
                    .await?;
                decoding += start.elapsed();
            }
        }
        let mut output = generation.output();
        cancel.check()?;
        let generate = start.elapsed().saturating_sub(decoding) / share;
        for (row, stream) in streams.into_iter().enumerate() {
            if let Some(rest) = stream.rest(&self.tokenizer) {
                let _: ControlFlow<()> = observer.text(row, &rest);
            }
        }
        output.key = places.padding_first(output.key);
        let rows = layouts.into_iter().zip(timings).zip(early.into_masks());
        let answers = rows.enumerate();
        let answers = answers.map(|(row, ((question, timing), early))| GeneratedAnswer {
            tokens: output.tokens[row].clone(),
            objects: self.objects(&output.tokens[row], row, &places, generation.read(row)),
            question,
            early,
            timing: Timing {
                prompt: timing.prompt + prompt,
                generate,
                decode: decoding / share,
                ..timing
            },
        });
        Ok(Generated {
            answers: answers.collect(),
            output,
        })
    }

    /// Merges the references of all questions into one bank, and adjusts the layouts to it.
    fn in_one_bank(
        &self,
        questions: Vec<EncodedQuestion<B>>,
    ) -> (Vec<Layout>, Vec<Timing>, ReferenceBank<B>) {
        let mut bank = ReferenceBank::default();
        let rows = questions.into_iter().map(|question| {
            let layout = question.layout.with_references_from(bank.len());
            for features in question.references {
                bank.push(features);
            }
            (layout, question.timing)
        });
        let (layouts, timings) = rows.unzip();
        (layouts, timings, bank)
    }

    /// Processes a question except for its last state, which begins every answer to it.
    pub(crate) fn prefill(
        &self,
        asked: Conversation<'_, B>,
        question: EncodedQuestion<B>,
    ) -> Prefilled<B> {
        let start = Instant::now();
        let llm = &self.model.llm;
        let mut cache = asked.picture.prefix.clone();
        let (mut layouts, mut timings, bank) = self.in_one_bank(vec![question]);
        let embeddings = splice_left(llm, &layouts, &bank, cache.len(), self.device()).embeddings;
        let [_, length, _] = embeddings.dims();
        if length > 1 {
            let before = embeddings.clone().narrow(1, 0, length - 1);
            llm.forward(LlamaInput::new(before), Some(&mut cache));
        }
        let last = embeddings.narrow(1, length - 1, 1);
        let mut timing = timings.remove(0);
        timing.prompt += start.elapsed();
        Prefilled {
            input: GenerationInput::new(last).with_cache(Some(cache)),
            layout: layouts.remove(0),
            timing,
        }
    }

    /// Searches for the likeliest answers to a question, likeliest first.
    pub(crate) async fn search_beams(
        &self,
        question: &Prefilled<B>,
        width: BeamConfig,
        cancel: &Cancel,
    ) -> Result<Vec<Beam>> {
        cancel.check()?;
        let input = question.input.clone();
        let on_step = |_: &[Beam]| match cancel.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let (model, config) = (&self.model.llm, &self.generation);
        let beams = beam_search_async(model, input, config, width, on_step).await?;
        cancel.check()?;
        Ok(beams)
    }

    /// Processes given answers to a question, one row each, with the output of
    /// [`generate`](Self::generate).
    pub(crate) fn read_answers(
        &self,
        question: &Prefilled<B>,
        answers: &[Vec<u32>],
    ) -> Generated<B> {
        let input = question.input.clone();
        let prefix = input.cache.as_ref().map_or(0, KvCache::len);
        let places = RowPlaces {
            prefix,
            answer_start: prefix + 1,
            padding: vec![0; answers.len()],
        };
        // The last token is not read: where the state of an `<obj>` itself counts, one follows it.
        let ended: Vec<Vec<u32>>;
        let read = match self.config.object_state {
            ObjectState::Predicting => answers,
            ObjectState::Own => {
                let end = [self.special_tokens().end];
                ended = answers
                    .iter()
                    .map(|tokens| [&tokens[..], &end].concat())
                    .collect();
                &ended
            }
        };
        let output = read_continuations(&self.model.llm, input, read);
        let answers = answers.iter().enumerate();
        let answers = answers.map(|(row, tokens)| GeneratedAnswer {
            tokens: tokens.clone(),
            objects: self.objects(tokens, row, &places, tokens.len()),
            question: question.layout.clone(),
            early: Vec::new(),
            timing: Timing::default(),
        });
        Generated {
            answers: answers.collect(),
            output,
        }
    }

    /// Positions of every `<obj>` of an answer, of which the first `read` tokens were read again;
    /// none of a model without masks.
    pub(crate) fn objects(
        &self,
        tokens: &[u32],
        row: usize,
        places: &RowPlaces,
        read: usize,
    ) -> Vec<ObjectToken> {
        let Some(mask) = self.special_tokens().object else {
            return Vec::new();
        };
        let state = self.config.object_state;
        let spans = state.spans(tokens, mask, places.answer_start, read);
        let object = |span: ObjectSpan| ObjectToken {
            row,
            position: span.position,
            start: span.start,
            end: span.position,
            context_start: places.padding[row],
        };
        spans.into_iter().map(object).collect()
    }
}

/// Places of questions and answers in the rows of a batch.
#[derive(Debug)]
pub(crate) struct RowPlaces {
    /// Length of the part before the questions.
    pub(crate) prefix: usize,
    /// Position of the answers' first tokens.
    pub(crate) answer_start: usize,
    /// Padding before each question.
    pub(crate) padding: Vec<usize>,
}

impl RowPlaces {
    /// Moves the padding of each row from after the part before the questions to the front.
    pub(crate) fn padding_first<B: Backend>(&self, key: Tensor<B, 4>) -> Tensor<B, 4> {
        padding_first(key, self.prefix, &self.padding)
    }
}

/// Tokens of a row, and the part of their text that was already emitted.
#[derive(Debug, Clone, Default)]
struct Stream {
    ids: Vec<u32>,
    text: String,
    stopped: bool,
}

impl Stream {
    /// Text that a token adds; `None` while a character is incomplete.
    fn push(&mut self, token: u32, tokenizer: &Tokenizer) -> Option<String> {
        self.ids.push(token);
        let text = tokenizer.decode(&self.ids).ok()?;
        let new = text.strip_prefix(self.text.as_str())?;
        if new.is_empty() || new.ends_with('\u{fffd}') {
            return None;
        }
        let new = new.to_owned();
        self.text = text;
        Some(new)
    }

    /// Text of an incomplete character at the very end.
    fn rest(self, tokenizer: &Tokenizer) -> Option<String> {
        if self.stopped {
            return None;
        }
        let text = tokenizer.decode(&self.ids).ok()?;
        let rest = text.strip_prefix(self.text.as_str())?;
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

/// Moves the padding of each row from after the first `prefix` positions to the front.
fn padding_first<B: Backend>(key: Tensor<B, 4>, prefix: usize, padding: &[usize]) -> Tensor<B, 4> {
    if padding.iter().all(|&padding| padding == 0) {
        return key;
    }
    let keys = key.dims()[2];
    let rows = padding.iter().enumerate().map(|(row, &padding)| {
        let key = key.clone().narrow(0, row, 1);
        let span = |from: usize, length: usize| key.clone().narrow(2, from, length);
        match padding {
            0 => key,
            _ => {
                let rest = prefix + padding;
                let spans = vec![
                    span(prefix, padding),
                    span(0, prefix),
                    span(rest, keys - rest),
                ];
                Tensor::cat(spans, 2)
            }
        }
    });
    Tensor::cat(rows.collect(), 0)
}
