//! Beam search compared with an exhaustive search and with greedy generation.

use std::collections::HashMap;
use std::ops::ControlFlow;

use anyref_llm::{
    Beam, BeamConfig, FinishReason, GenerationConfig, GenerationInput, Llama, LlamaConfig,
    LlamaInput, beam_search, beam_search_async, generate,
};

use crate::support::{TestBackend, go_on, hidden, ids, polled, random_model};

const PROMPT: &[i64] = &[1, 4, 2];
const STOP: u32 = 3;
const LONGEST: usize = 4;

fn config() -> GenerationConfig {
    GenerationConfig {
        stop_tokens: vec![STOP],
        ..GenerationConfig::greedy(LONGEST)
    }
}

fn model() -> Llama<TestBackend> {
    random_model(&LlamaConfig {
        vocab_size: 6,
        ..LlamaConfig::tiny()
    })
}

fn search(model: &Llama<TestBackend>, beams: usize) -> Vec<Beam> {
    let input = GenerationInput::new(model.embed(ids(&[PROMPT])));
    beam_search(model, input, &config(), BeamConfig::new(beams)).unwrap()
}

/// Log-probabilities of the next token, without a cache.
fn next(model: &Llama<TestBackend>, tokens: &[i64]) -> Vec<f64> {
    let states = hidden(model, &[tokens]);
    let logits = model.logits(states.narrow(1, tokens.len() - 1, 1));
    let logits: Vec<f64> = logits.into_data().iter::<f64>().collect();
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    logits.iter().map(|logit| logit - sum.ln()).collect()
}

/// All continuations, likeliest first.
fn all(model: &Llama<TestBackend>) -> Vec<Beam> {
    let mut done = Vec::new();
    let mut open = vec![(Vec::<u32>::new(), 0.0)];
    while let Some((tokens, log_probability)) = open.pop() {
        if tokens.len() == LONGEST {
            done.push(Beam {
                tokens,
                log_probability,
                finish: FinishReason::Length,
            });
            continue;
        }
        let read: Vec<i64> = PROMPT
            .iter()
            .copied()
            .chain(tokens.iter().map(|&token| i64::from(token)))
            .collect();
        for (token, more) in next(model, &read).into_iter().enumerate() {
            let (token, sum) = (token as u32, log_probability + more);
            if token == STOP {
                done.push(Beam {
                    tokens: tokens.clone(),
                    log_probability: sum,
                    finish: FinishReason::Stop,
                });
            } else {
                open.push(([&tokens[..], &[token]].concat(), sum));
            }
        }
    }
    done.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    done
}

/// Asserts that continuations are the same, each with its log-probability, and in the order of
/// these. Continuations whose log-probabilities differ by rounding alone may stand in either order.
fn assert_same(found: &[Beam], expected: &[Beam]) {
    assert_eq!(found.len(), expected.len());
    assert!(found.is_sorted_by(|a, b| a.log_probability >= b.log_probability));
    let mut by_tokens: HashMap<_, _> = expected.iter().map(|beam| (&beam.tokens, beam)).collect();
    for found in found {
        let expected = by_tokens.remove(&found.tokens).expect("found once");
        assert_eq!(found.finish, expected.finish);
        assert!((found.log_probability - expected.log_probability).abs() < 1e-4);
    }
}

#[test]
fn enough_beams_find_every_continuation_in_order() {
    let model = model();
    let expected = all(&model);
    let total: f64 = expected.iter().map(|beam| beam.log_probability.exp()).sum();
    assert!((total - 1.0).abs() < 1e-6);
    assert!(
        expected
            .iter()
            .any(|beam| beam.finish == FinishReason::Stop && beam.tokens.len() == 1)
    );
    assert_same(&search(&model, expected.len()), &expected);
}

#[test]
fn one_beam_is_greedy_and_more_are_no_worse() {
    let model = model();
    let input = GenerationInput::new(model.embed(ids(&[PROMPT])));
    let greedy = generate(&model, input, &config(), go_on).unwrap();
    let one = search(&model, 1);
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].tokens, greedy.tokens[0]);
    let mut best = one[0].log_probability;
    for beams in [2, 4, 16] {
        let found = search(&model, beams);
        assert_eq!(found.len(), beams);
        assert!(found.is_sorted_by(|a, b| a.log_probability >= b.log_probability));
        assert!(found[0].log_probability >= best - 1e-6, "{beams}");
        best = found[0].log_probability;
    }
    assert!(search(&model, 0).is_empty());
}

#[test]
fn a_prefix_that_was_read_before_changes_nothing() {
    let model = model();
    let mut cache = model.new_cache();
    let (read, rest) = PROMPT.split_at(2);
    model.forward(LlamaInput::new(model.embed(ids(&[read]))), Some(&mut cache));
    let input = GenerationInput::new(model.embed(ids(&[rest]))).with_cache(Some(cache));
    let found = beam_search(&model, input, &config(), BeamConfig::new(5)).unwrap();
    assert_same(&found, &search(&model, 5));
}

#[test]
fn what_is_too_far_behind_the_best_is_given_up() {
    let model = model();
    let all = search(&model, 2000);
    for margin in [0.0, 0.7, 2.5] {
        let input = GenerationInput::new(model.embed(ids(&[PROMPT])));
        let width = BeamConfig {
            beams: 2000,
            margin,
        };
        let found = beam_search(&model, input, &config(), width).unwrap();
        let least = all[0].log_probability - margin;
        let near = all.iter().filter(|beam| beam.log_probability >= least);
        assert_same(&found, &near.cloned().collect::<Vec<_>>());
        assert!(found.len() < all.len());
    }
}

#[test]
fn a_cancelled_search_gives_the_beams_so_far() {
    let model = model();
    let width = BeamConfig::new(16);
    let mut followed = Vec::new();
    let input = GenerationInput::new(model.embed(ids(&[PROMPT])));
    let found = polled(beam_search_async(&model, input, &config(), width, |live| {
        followed.push(live.to_vec());
        match followed.len() == 2 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }));
    let found = found.unwrap();
    assert_eq!((followed.len(), found.len()), (2, 16));
    assert!(found.is_sorted_by(|a, b| a.log_probability >= b.log_probability));
    let cancelled = |beam: &&Beam| beam.finish == FinishReason::Cancelled;
    assert!(found.iter().filter(cancelled).count() > 0);
    for beam in found.iter().filter(cancelled) {
        let live = followed[1].iter().find(|live| live.tokens == beam.tokens);
        assert_eq!((beam.tokens.len(), live.is_some()), (2, true));
    }
}

#[test]
fn an_awaited_search_is_the_same() {
    let model = model();
    let input = GenerationInput::new(model.embed(ids(&[PROMPT])));
    let on_step = |_: &[Beam]| ControlFlow::Continue(());
    let width = BeamConfig::new(16);
    let found = polled(beam_search_async(&model, input, &config(), width, on_step));
    assert_eq!(found.unwrap(), search(&model, 16));
}
