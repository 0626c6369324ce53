//! Beam search: the likeliest continuations of a prompt.

use core::ops::ControlFlow;

use burn::tensor::{Tensor, backend::Backend, read_sync};

use crate::error::Result;
use crate::generate::{FinishReason, GenerationInput, longest_answer, read_tokens};
use crate::model::{Llama, LlamaInput};
use crate::sampling::GenerationConfig;

/// Continuation of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Beam {
    /// Tokens without the stop token.
    pub tokens: Vec<u32>,
    /// Log-probability, including that of the stop token.
    pub log_probability: f64,
    /// Reason for the end of the continuation.
    pub finish: FinishReason,
}

/// Width of a beam search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeamConfig {
    /// Maximum continuations that are followed at a time, and that are returned.
    pub beams: usize,
    /// Distance below the best log-probability at which a continuation is dropped.
    pub margin: f64,
}

impl BeamConfig {
    /// Width of `beams` beams, without a margin.
    pub fn new(beams: usize) -> Self {
        Self {
            beams,
            margin: f64::INFINITY,
        }
    }
}

/// Searches for the likeliest continuations of a prompt of one row, and returns the likeliest
/// first. Uses the lengths and the stop tokens of `config`; there is no length penalty and no
/// sampling. With one beam the result is the greedy continuation; with as many beams as
/// continuations and no margin, the search is exact.
///
/// `on_step` receives the live beams after each step. A break ends the search: beams without a stop
/// token at that point are [`FinishReason::Cancelled`]. The device is awaited, as in
/// [`generate_async`](crate::generate_async).
///
/// # Errors
/// When the device fails.
///
/// # Panics
/// When the prompt has no position, several rows, or padding, also in its cache; also see
/// [`Llama::forward`].
pub async fn beam_search_async<B: Backend>(
    model: &Llama<B>,
    input: GenerationInput<B>,
    config: &GenerationConfig,
    width: BeamConfig,
    mut on_step: impl FnMut(&[Beam]) -> ControlFlow<()>,
) -> Result<Vec<Beam>> {
    let length = input.single_row();
    let device = input.embeddings.device();
    let mut cache = input.cache.unwrap_or_else(|| model.new_cache());
    let limit = longest_answer(model, config, cache.len() + length);
    let output = model.read(LlamaInput::new(input.embeddings), &mut cache);
    let mut state = output.hidden.narrow(1, length - 1, 1);
    let mut live = vec![Beam {
        tokens: Vec::new(),
        log_probability: 0.0,
        finish: FinishReason::Length,
    }];
    let mut found = Found {
        beams: Vec::new(),
        width,
    };
    for step in 0..limit {
        let of_tokens = log_probabilities(model, state).await?;
        let next = extended(&live, of_tokens, config, &mut found);
        live = next.iter().map(|(beam, _)| beam.clone()).collect();
        if on_step(&live).is_break() {
            for beam in &mut live {
                beam.finish = FinishReason::Cancelled;
            }
            break;
        }
        // Longer continuations are even less likely.
        if step + 1 == limit || live.first().is_none_or(|best| !found.takes(best)) {
            break;
        }
        let parents: Vec<usize> = next.iter().map(|&(_, parent)| parent).collect();
        // Rows that keep their order keep their spare capacity.
        if !parents.iter().copied().eq(0..cache.batch()) {
            cache = cache.select(&parents);
        }
        let last: Vec<u32> = live
            .iter()
            .filter_map(|b| b.tokens.last().copied())
            .collect();
        let shape = [last.len(), 1];
        state = read_tokens(model, last, shape, None, &mut cache, &device).hidden;
    }
    live.into_iter().for_each(|beam| found.push(beam));
    Ok(found.beams)
}

/// Runs [`beam_search_async`] to its end on the calling thread, which waits for the device.
///
/// # Errors
/// See [`beam_search_async`].
///
/// # Panics
/// See [`beam_search_async`]; also in a browser, on a backend that cannot be read synchronously.
pub fn beam_search<B: Backend>(
    model: &Llama<B>,
    input: GenerationInput<B>,
    config: &GenerationConfig,
    width: BeamConfig,
) -> Result<Vec<Beam>> {
    let on_step = |_: &[Beam]| ControlFlow::Continue(());
    read_sync(beam_search_async(model, input, config, width, on_step))
}

/// Best finished continuations so far.
struct Found {
    /// Beams, likeliest first.
    beams: Vec<Beam>,
    width: BeamConfig,
}

impl Found {
    /// Returns whether a beam is within the margin of the best, and there is room for it or it is
    /// likelier than one already found.
    fn takes(&self, beam: &Beam) -> bool {
        let (value, most) = (beam.log_probability, self.width.beams);
        let near = |best: &Beam| value >= best.log_probability - self.width.margin;
        let worst = self.beams.last().filter(|_| self.beams.len() >= most);
        most > 0
            && self.beams.first().is_none_or(near)
            && worst.is_none_or(|worst| value > worst.log_probability)
    }

    fn push(&mut self, beam: Beam) {
        if self.takes(&beam) {
            let likelier = |other: &Beam| other.log_probability >= beam.log_probability;
            let place = self.beams.partition_point(likelier);
            self.beams.insert(place, beam);
            self.beams.truncate(self.width.beams);
            // A better beam may push others out of the margin.
            let least = self.beams[0].log_probability - self.width.margin;
            self.beams.retain(|beam| beam.log_probability >= least);
        }
    }
}

/// Extends the beams by one token, likeliest first, each with the row that it continues. Beams that
/// end are added to `found`.
fn extended(
    live: &[Beam],
    log_probabilities: Vec<Vec<f64>>,
    config: &GenerationConfig,
    found: &mut Found,
) -> Vec<(Beam, usize)> {
    let beams = found.width.beams;
    let mut next = Vec::new();
    for (parent, (beam, of_tokens)) in live.iter().zip(log_probabilities).enumerate() {
        for (token, log_probability) in of_tokens.into_iter().enumerate() {
            let sum = beam.log_probability + log_probability;
            next.push((sum, parent, token as u32));
        }
    }
    // Ties keep the order of rows and ids, so that a search is reproducible everywhere.
    let order = |a: &(f64, usize, u32), b: &(f64, usize, u32)| {
        b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
    };
    // In addition to the continuing beams, each row may end by any of the stop tokens.
    let wanted = beams.saturating_add(live.len() * config.stop_tokens.len());
    if wanted < next.len() {
        next.select_nth_unstable_by(wanted, order);
        next.truncate(wanted);
    }
    next.sort_unstable_by(order);
    let mut going: Vec<(Beam, usize)> = Vec::new();
    for (log_probability, parent, token) in next {
        let mut beam = Beam {
            tokens: live[parent].tokens.clone(),
            log_probability,
            finish: match config.stop_tokens.contains(&token) {
                true => FinishReason::Stop,
                false => FinishReason::Length,
            },
        };
        if going.len() == beams || !found.takes(&beam) {
            break;
        }
        if beam.finish == FinishReason::Stop {
            found.push(beam);
        } else {
            beam.tokens.push(token);
            going.push((beam, parent));
        }
    }
    going
}

/// Log-probabilities of the next token, for each row.
async fn log_probabilities<B: Backend>(
    model: &Llama<B>,
    state: Tensor<B, 3>,
) -> Result<Vec<Vec<f64>>> {
    let logits = model.logits(state);
    let [_, _, vocab] = logits.dims();
    let logits = logits.into_data_async().await?;
    let logits: Vec<f64> = logits.iter::<f64>().collect();
    let of_row = |row: &[f64]| {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|logit| (logit - top).exp()).sum();
        let total = top + sum.ln();
        row.iter().map(|logit| logit - total).collect()
    };
    Ok(logits.chunks(vocab).map(of_row).collect())
}
