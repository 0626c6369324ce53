//! Beam search: the likeliest continuations of a prompt.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::generate::longest_answer;
use crate::model::{Llama, LlamaInput};
use crate::sampling::GenerationConfig;
use crate::{GenerationInput, KvCache};

/// A continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct Beam {
    /// Its tokens, the stop token left out.
    pub tokens: Vec<u32>,
    /// Logarithm of its probability, that of the stop token included.
    pub log_probability: f64,
    /// Whether a stop token ended it, rather than the longest length.
    pub stopped: bool,
}

/// The likeliest continuations of a prompt of one row, at most `beams`, the likeliest first. As many are followed at
/// a time. Of `config` the lengths and the stop tokens count; there is no length penalty, and nothing is sampled.
///
/// With one beam the result is the greedy continuation; with as many as there are continuations, it is exact.
///
/// # Panics
/// When the prompt has no position, several rows, or padding, and as [`Llama::forward`].
pub fn beam_search<B: Backend>(
    model: &Llama<B>,
    input: GenerationInput<B>,
    config: &GenerationConfig,
    beams: usize,
) -> Vec<Beam> {
    let [rows, length, _] = input.embeddings.dims();
    assert!(
        rows == 1 && length > 0 && input.padding.is_none(),
        "a beam search begins with one row without padding"
    );
    let device = input.embeddings.device();
    let mut cache = input.cache.unwrap_or_else(|| model.new_cache());
    let limit = longest_answer(model, config, cache.len() + length);
    let output = model.forward(LlamaInput::new(input.embeddings), Some(&mut cache));
    let mut state = output.hidden.narrow(1, length - 1, 1);
    let mut live = vec![Beam {
        tokens: Vec::new(),
        log_probability: 0.0,
        stopped: false,
    }];
    let mut found = Found {
        beams: Vec::new(),
        most: beams,
    };
    for step in 0..limit {
        let next = extended(
            &live,
            log_probabilities(model, state),
            beams,
            config,
            &mut found,
        );
        live = next.iter().map(|(beam, _)| beam.clone()).collect();
        // Longer ones are less likely still.
        if step + 1 == limit || live.first().is_none_or(|best| !found.takes(best)) {
            break;
        }
        let parents: Vec<usize> = next.iter().map(|&(_, parent)| parent).collect();
        (state, cache) = read_last(model, &live, cache.select(&parents), &device);
    }
    live.into_iter().for_each(|beam| found.push(beam));
    found.beams
}

/// The best continuations so far.
struct Found {
    /// The likeliest first.
    beams: Vec<Beam>,
    most: usize,
}

impl Found {
    /// Whether there is room for a beam, or it is likelier than one of those found.
    fn takes(&self, beam: &Beam) -> bool {
        let worst = self.beams.last().filter(|_| self.beams.len() >= self.most);
        self.most > 0 && worst.is_none_or(|worst| beam.log_probability > worst.log_probability)
    }

    fn push(&mut self, beam: Beam) {
        if self.takes(&beam) {
            let likelier = |other: &Beam| other.log_probability >= beam.log_probability;
            let place = self.beams.partition_point(likelier);
            self.beams.insert(place, beam);
            self.beams.truncate(self.most);
        }
    }
}

/// The beams that go on by one token, the likeliest first, each with the row it continues. Those that end are found.
fn extended(
    live: &[Beam],
    log_probabilities: Vec<Vec<f64>>,
    beams: usize,
    config: &GenerationConfig,
    found: &mut Found,
) -> Vec<(Beam, usize)> {
    let mut next = Vec::new();
    for (parent, (beam, of_tokens)) in live.iter().zip(log_probabilities).enumerate() {
        for (token, log_probability) in of_tokens.into_iter().enumerate() {
            next.push((beam.log_probability + log_probability, parent, token as u32));
        }
    }
    // Equals keep the order of their rows and ids, so that a search is the same everywhere.
    next.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut going = Vec::with_capacity(beams);
    for (log_probability, parent, token) in next {
        if going.len() == beams {
            break;
        }
        let mut beam = Beam {
            tokens: live[parent].tokens.clone(),
            log_probability,
            stopped: config.stop_tokens.contains(&token),
        };
        if beam.stopped {
            found.push(beam);
        } else {
            beam.tokens.push(token);
            going.push((beam, parent));
        }
    }
    going
}

/// Logarithms of the next token's probabilities, of each row.
fn log_probabilities<B: Backend>(model: &Llama<B>, state: Tensor<B, 3>) -> Vec<Vec<f64>> {
    let logits = model.logits(state);
    let [_, _, vocab] = logits.dims();
    let logits: Vec<f64> = logits.into_data().iter::<f64>().collect();
    let of_row = |row: &[f64]| {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|logit| (logit - top).exp()).sum();
        let total = top + sum.ln();
        row.iter().map(|logit| logit - total).collect()
    };
    logits.chunks(vocab).map(of_row).collect()
}

/// Reads the last token of each beam: the states that choose the next, and the cache with it.
fn read_last<B: Backend>(
    model: &Llama<B>,
    live: &[Beam],
    mut cache: KvCache<B>,
    device: &B::Device,
) -> (Tensor<B, 3>, KvCache<B>) {
    let last = live.iter().filter_map(|beam| beam.tokens.last());
    let last: Vec<i64> = last.map(|&token| i64::from(token)).collect();
    let ids = TensorData::new(last, [live.len(), 1]);
    let ids = Tensor::<B, 2, Int>::from_data(ids, device);
    let output = model.forward(LlamaInput::new(model.embed(ids)), Some(&mut cache));
    (output.hidden, cache)
}
