//! Writing: questions about pictures to the language model's words and states, several at a time.

use std::time::Instant;

use anyref_decoder::refocus::ObjectToken;
use anyref_llm::{
    Beam, BeamConfig, GenerationInput, GenerationOutput, KvCache, LlamaInput, beam_search,
    generate, read_continuations,
};
use burn::tensor::{Tensor, backend::Backend};

use crate::layout::{Layout, ObjectSpan, object_spans};
use crate::picture::Picture;
use crate::prompt::Question;
use crate::splice::{ReferenceBank, splice_left};
use crate::{AnyRef, Error, Prompt, Reference, Result, Timing};

/// One question of a conversation, with its answer once there is one.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) question: Question,
    pub(crate) references: Vec<Reference>,
    pub(crate) answer: Option<String>,
}

impl Turn {
    pub(crate) fn new(question: Question, prompt: &Prompt) -> Self {
        Self {
            question,
            references: prompt.references.clone(),
            answer: None,
        }
    }

    /// The box whose content is asked for by the default question; a question of one's own may be about something else,
    /// such as what is beside it.
    pub(crate) fn asked_for(&self) -> Option<[f32; 4]> {
        let [Reference::Box(region)] = self.references[..] else {
            return None;
        };
        let usual = Prompt::new([Reference::Box(region)]).segmentation().ok()?;
        (self.question.text == usual.text).then_some(region)
    }
}

/// A picture and the turns about it, the last of which is to be answered.
#[derive(Debug)]
pub(crate) struct Conversation<'a, B: Backend> {
    pub(crate) picture: &'a Picture<B>,
    pub(crate) turns: &'a [Turn],
}

impl<B: Backend> Clone for Conversation<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Conversation<'_, B> {}

/// A question ready for the language model.
#[derive(Debug)]
pub(crate) struct ReadQuestion {
    /// What the question became, from the picture's end on.
    layout: Layout,
    timing: Timing,
}

/// A question that the language model has read but for its last position.
#[derive(Debug)]
pub(crate) struct OpenQuestion<B: Backend> {
    input: GenerationInput<B>,
    layout: Layout,
    /// How long reading took.
    pub(crate) timing: Timing,
}

/// Generated answers before anything is decoded.
#[derive(Debug)]
pub(crate) struct Written<B: Backend> {
    /// One a row.
    pub(crate) answers: Vec<WrittenAnswer>,
    /// The language model's states. Shorter questions are padded in front; of the keys, their padding comes before
    /// the picture, so that nothing lies between it and the question.
    pub(crate) output: GenerationOutput<B>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct WrittenAnswer {
    pub(crate) tokens: Vec<u32>,
    /// What the question became, from the picture's end on.
    pub(crate) question: Layout,
    /// Every `<obj>`.
    pub(crate) objects: Vec<ObjectToken>,
    pub(crate) timing: Timing,
}

impl<B: Backend> Written<B> {
    /// The `<obj>` of all rows.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectToken> {
        self.answers.iter().flat_map(|answer| &answer.objects)
    }

    /// Whether each row's answer began from a state that is not a number, so that it means nothing.
    pub(crate) fn lost(&self) -> Vec<bool> {
        let output = &self.output;
        let began = output.first.iter().enumerate();
        let began = began.map(|(row, &column)| {
            let state = output.hidden.clone().narrow(0, row, 1);
            state.narrow(1, column, 1)
        });
        let lost = Tensor::cat(began.collect(), 0).is_nan().any_dim(2);
        lost.into_data().iter::<bool>().collect()
    }
}

impl<B: Backend> AnyRef<B> {
    /// Encodes a question's references and lays it out.
    pub(crate) fn read(
        &self,
        asked: Conversation<'_, B>,
        bank: &mut ReferenceBank<B>,
    ) -> Result<ReadQuestion> {
        let mut timing = Timing::default();
        let start = Instant::now();
        let mut references = Vec::new();
        for turn in asked.turns {
            for &index in &turn.question.marked {
                let sound = Instant::now();
                let features = self.reference_features(asked.picture, &turn.references[index])?;
                if matches!(turn.references[index], Reference::Audio(_)) {
                    timing.audio += sound.elapsed();
                }
                let entry = bank.push(features);
                references.push((entry, bank.length(entry)));
            }
        }
        let layout = self.layout(asked.turns, &references)?;
        let context = self.config.llm.max_position_embeddings;
        let length = asked.picture.prefix.len() + layout.len();
        let answer = self.generation.max_new_tokens;
        let length = length.saturating_add(answer);
        if length > context {
            return Err(Error::ContextFull {
                length,
                answer,
                context,
            });
        }
        timing.prompt = start.elapsed().saturating_sub(timing.audio);
        Ok(ReadQuestion { layout, timing })
    }

    /// Writes the answers to questions that were [read](Self::read), a row each. `on_text` is given each row's text
    /// as it comes.
    pub(crate) fn write(
        &self,
        asked: &[Conversation<'_, B>],
        questions: Vec<ReadQuestion>,
        bank: &ReferenceBank<B>,
        on_text: &mut dyn FnMut(usize, &str),
    ) -> Written<B> {
        let start = Instant::now();
        let prefixes: Vec<_> = asked.iter().map(|row| row.picture.prefix.clone()).collect();
        let prefix = KvCache::cat(&prefixes);
        let past = prefix.len();
        let (layouts, timings): (Vec<_>, Vec<_>) =
            questions.into_iter().map(|q| (q.layout, q.timing)).unzip();
        let spliced = splice_left(&self.model.llm, &layouts, bank, past, self.device());
        let longest = spliced.embeddings.dims()[1];
        let padding: Vec<usize> = spliced.lengths.iter().map(|n| longest - n).collect();
        let share = asked.len().max(1) as u32;
        let prompt = start.elapsed() / share;

        let start = Instant::now();
        let mut streams = vec![Stream::default(); asked.len()];
        let mut output = generate(
            &self.model.llm,
            GenerationInput {
                embeddings: spliced.embeddings,
                padding: spliced.padding,
                cache: Some(prefix),
            },
            &self.generation,
            &mut |row, token| {
                let Stream { ids, written } = &mut streams[row];
                ids.push(token);
                if let Ok(text) = self.tokenizer.decode(ids)
                    && let Some(new) = text.strip_prefix(written.as_str())
                    && !new.is_empty()
                    && !new.ends_with('\u{fffd}')
                {
                    on_text(row, new);
                    *written = text;
                }
                true
            },
        );
        let generate = start.elapsed() / share;
        for (row, Stream { ids, written }) in streams.iter().enumerate() {
            // What an unfinished character at the very end still holds back.
            if let Ok(whole) = self.tokenizer.decode(ids)
                && let Some(rest) = whole.strip_prefix(written.as_str())
                && !rest.is_empty()
            {
                on_text(row, rest);
            }
        }
        output.key = padding_first(output.key, past, &padding);
        let answers = layouts.into_iter().zip(timings).enumerate();
        let answers = answers.map(|(row, (question, timing))| WrittenAnswer {
            tokens: output.tokens[row].clone(),
            objects: self.objects(&output.tokens[row], row, past + longest, padding[row]),
            question,
            timing: Timing {
                prompt: timing.prompt + prompt,
                generate,
                ..timing
            },
        });
        Written {
            answers: answers.collect(),
            output,
        }
    }

    /// A question that was [read](Self::read), for [`search`](Self::search) and [`write_given`](Self::write_given).
    pub(crate) fn open(
        &self,
        asked: Conversation<'_, B>,
        question: ReadQuestion,
        bank: &ReferenceBank<B>,
    ) -> OpenQuestion<B> {
        let start = Instant::now();
        let llm = &self.model.llm;
        let mut cache = asked.picture.prefix.clone();
        let layout = std::slice::from_ref(&question.layout);
        let embeddings = splice_left(llm, layout, bank, cache.len(), self.device()).embeddings;
        let [_, length, _] = embeddings.dims();
        // Its last state begins the answer; what comes before is read once.
        if length > 1 {
            let before = embeddings.clone().narrow(1, 0, length - 1);
            llm.forward(LlamaInput::new(before), Some(&mut cache));
        }
        let last = embeddings.narrow(1, length - 1, 1);
        let mut timing = question.timing;
        timing.prompt += start.elapsed();
        OpenQuestion {
            input: GenerationInput::new(last).with_cache(Some(cache)),
            layout: question.layout,
            timing,
        }
    }

    /// The likeliest answers to a question, the likeliest first.
    pub(crate) fn search(&self, question: &OpenQuestion<B>, width: BeamConfig) -> Vec<Beam> {
        let input = question.input.clone();
        beam_search(&self.model.llm, input, &self.generation, width)
    }

    /// As [`write`](Self::write) leaves it, had a question been answered so, a row each.
    pub(crate) fn write_given(
        &self,
        question: &OpenQuestion<B>,
        answers: &[Vec<u32>],
    ) -> Written<B> {
        let input = question.input.clone();
        let answer_start = input.cache.as_ref().map_or(0, KvCache::len) + 1;
        let output = read_continuations(&self.model.llm, input, answers);
        let answers = answers.iter().enumerate();
        let answers = answers.map(|(row, tokens)| WrittenAnswer {
            tokens: tokens.clone(),
            objects: self.objects(tokens, row, answer_start, 0),
            question: question.layout.clone(),
            timing: Timing::default(),
        });
        Written {
            answers: answers.collect(),
            output,
        }
    }

    /// Where every `<obj>` of an answer stands.
    fn objects(
        &self,
        tokens: &[u32],
        row: usize,
        answer_start: usize,
        context_start: usize,
    ) -> Vec<ObjectToken> {
        let spans = object_spans(tokens, self.special_tokens().object, answer_start);
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

/// Tokens of a row, and what was said of them.
#[derive(Debug, Clone, Default)]
struct Stream {
    ids: Vec<u32>,
    written: String,
}

/// Moves the padding of each row, which follows `past` positions, before them.
fn padding_first<B: Backend>(key: Tensor<B, 4>, past: usize, padding: &[usize]) -> Tensor<B, 4> {
    if padding.iter().all(|&padding| padding == 0) {
        return key;
    }
    let keys = key.dims()[2];
    let rows = padding.iter().enumerate().map(|(row, &padding)| {
        let key = key.clone().narrow(0, row, 1);
        let part = |from: usize, length: usize| key.clone().narrow(2, from, length);
        match padding {
            0 => key,
            _ => {
                let rest = past + padding;
                let parts = vec![part(past, padding), part(0, past), part(rest, keys - rest)];
                Tensor::cat(parts, 2)
            }
        }
    });
    Tensor::cat(rows.collect(), 0)
}
