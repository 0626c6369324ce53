//! Second step of an answer: the language model generates it, greedily, by sampling or by beams.

use std::ops::ControlFlow;

use anyref_decoder::refocus::ObjectToken;
use anyref_llm::Tokenizer;
use anyref_llm::{
    Beam, BeamConfig, GenerationInput, GenerationOutput, KvCache, LlamaInput, beam_search_async,
    generate_async, read_continuations,
};
use burn::tensor::{Tensor, backend::Backend};
use web_time::Instant;

use crate::conversation::Conversation;
use crate::encoding::EncodedQuestion;
use crate::layout::{Layout, ObjectSpan, object_spans};
use crate::observer::{Cancel, OnText};
use crate::read::read;
use crate::splice::{ReferenceBank, splice_left};
use crate::{AnyRef, Result, Timing};

/// Generated answers before any mask is decoded.
#[derive(Debug)]
pub(crate) struct Generated<B: Backend> {
    /// One a row.
    pub(crate) answers: Vec<GeneratedAnswer>,
    /// The language model's states. Shorter questions are padded in front; of the keys, their
    /// padding comes before the picture, so that nothing lies between it and the question.
    pub(crate) output: GenerationOutput<B>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct GeneratedAnswer {
    pub(crate) tokens: Vec<u32>,
    /// The question from the picture's end on.
    pub(crate) question: Layout,
    /// Every `<obj>`.
    pub(crate) objects: Vec<ObjectToken>,
    pub(crate) timing: Timing,
}

impl<B: Backend> Generated<B> {
    /// The `<obj>` of all rows.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectToken> {
        self.answers.iter().flat_map(|answer| &answer.objects)
    }

    /// Whether each row's answer began from a state that is not a number, so that it means nothing.
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

/// A question of which the language model has read all but the last position.
#[derive(Debug)]
pub(crate) struct Prefilled<B: Backend> {
    input: GenerationInput<B>,
    layout: Layout,
    pub(crate) timing: Timing,
}

impl<B: Backend> AnyRef<B> {
    /// Generates the answers to encoded questions, a row each, greedily or by sampling. `on_text`
    /// is given each row's text as it comes.
    pub(crate) async fn generate(
        &self,
        asked: &[Conversation<'_, B>],
        questions: Vec<EncodedQuestion<B>>,
        on_text: OnText<'_>,
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
        let padding: Vec<usize> = spliced.lengths.iter().map(|n| longest - n).collect();
        let share = asked.len().max(1) as u32;
        let prompt = start.elapsed() / share;

        let start = Instant::now();
        let mut streams = vec![Stream::default(); asked.len()];
        let input = GenerationInput {
            embeddings: spliced.embeddings,
            padding: spliced.padding,
            cache: Some(prefix),
        };
        let on_token = |row: usize, token| {
            if cancel.is_cancelled() {
                return ControlFlow::Break(());
            }
            let stream = &mut streams[row];
            let text = stream.push(token, &self.tokenizer);
            let flow = text.map_or(ControlFlow::Continue(()), |text| on_text(row, &text));
            stream.stopped = flow.is_break();
            flow
        };
        let mut output = generate_async(&self.model.llm, input, &self.generation, on_token).await?;
        cancel.check()?;
        let generate = start.elapsed() / share;
        for (row, stream) in streams.into_iter().enumerate() {
            if let Some(rest) = stream.rest(&self.tokenizer) {
                let _: ControlFlow<()> = on_text(row, &rest);
            }
        }
        output.key = padding_first(output.key, prefix_length, &padding);
        let answers = layouts.into_iter().zip(timings).enumerate();
        let answers = answers.map(|(row, (question, timing))| GeneratedAnswer {
            tokens: output.tokens[row].clone(),
            objects: self.objects(
                &output.tokens[row],
                row,
                prefix_length + longest,
                padding[row],
            ),
            question,
            timing: Timing {
                prompt: timing.prompt + prompt,
                generate,
                ..timing
            },
        });
        Ok(Generated {
            answers: answers.collect(),
            output,
        })
    }

    /// The references of all questions in one bank, and the layouts that count from its start.
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

    /// Reads a question but for its last state, which begins every answer to it.
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

    /// The likeliest answers to a question, the likeliest first.
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

    /// Reads given answers to a question, a row each, as [`generate`](Self::generate) leaves them.
    pub(crate) fn read_answers(
        &self,
        question: &Prefilled<B>,
        answers: &[Vec<u32>],
    ) -> Generated<B> {
        let input = question.input.clone();
        let answer_start = input.cache.as_ref().map_or(0, KvCache::len) + 1;
        let output = read_continuations(&self.model.llm, input, answers);
        let answers = answers.iter().enumerate();
        let answers = answers.map(|(row, tokens)| GeneratedAnswer {
            tokens: tokens.clone(),
            objects: self.objects(tokens, row, answer_start, 0),
            question: question.layout.clone(),
            timing: Timing::default(),
        });
        Generated {
            answers: answers.collect(),
            output,
        }
    }

    /// Positions of every `<obj>` of an answer; none of a model without masks.
    fn objects(
        &self,
        tokens: &[u32],
        row: usize,
        answer_start: usize,
        context_start: usize,
    ) -> Vec<ObjectToken> {
        let Some(mask) = self.special_tokens().object else {
            return Vec::new();
        };
        let spans = object_spans(tokens, mask, answer_start);
        let object = |span: ObjectSpan| ObjectToken {
            row,
            position: span.position,
            start: span.start,
            end: span.position,
            context_start,
        };
        spans.into_iter().map(object).collect()
    }
}

/// Tokens of a row, and their text that was given away.
#[derive(Debug, Clone, Default)]
struct Stream {
    ids: Vec<u32>,
    text: String,
    stopped: bool,
}

impl Stream {
    /// The text that a token adds; none while a character is unfinished.
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

    /// The text that an unfinished character at the very end still holds back.
    fn rest(self, tokenizer: &Tokenizer) -> Option<String> {
        if self.stopped {
            return None;
        }
        let text = tokenizer.decode(&self.ids).ok()?;
        let rest = text.strip_prefix(self.text.as_str())?;
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

/// Moves the padding of each row, which follows `prefix` positions, before them.
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
