//! Beam search, against every continuation there is and against greedy generation.

use anyref_llm::{
    Beam, BeamConfig, GenerationConfig, GenerationInput, Llama, LlamaConfig, LlamaInput,
    beam_search, generate,
};

use crate::support::{TestBackend, hidden, ids, random_model};

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
    beam_search(model, input, &config(), BeamConfig::new(beams))
}

/// Logarithms of the probabilities of what follows some tokens, without any cache.
fn next(model: &Llama<TestBackend>, tokens: &[i64]) -> Vec<f64> {
    let states = hidden(model, &[tokens]);
    let logits = model.logits(states.narrow(1, tokens.len() - 1, 1));
    let logits: Vec<f64> = logits.into_data().iter::<f64>().collect();
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    logits.iter().map(|logit| logit - sum.ln()).collect()
}

/// Every continuation, the likeliest first.
fn all(model: &Llama<TestBackend>) -> Vec<Beam> {
    let mut done = Vec::new();
    let mut open = vec![(Vec::<u32>::new(), 0.0)];
    while let Some((tokens, log_probability)) = open.pop() {
        if tokens.len() == LONGEST {
            done.push(Beam {
                tokens,
                log_probability,
                stopped: false,
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
                    stopped: true,
                });
            } else {
                open.push(([&tokens[..], &[token]].concat(), sum));
            }
        }
    }
    done.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    done
}

fn assert_same(found: &[Beam], expected: &[Beam]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(
            (&found.tokens, found.stopped),
            (&expected.tokens, expected.stopped)
        );
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
            .any(|beam| beam.stopped && beam.tokens.len() == 1)
    );
    assert_same(&search(&model, expected.len()), &expected);
}

#[test]
fn one_beam_is_greedy_and_more_are_no_worse() {
    let model = model();
    let input = GenerationInput::new(model.embed(ids(&[PROMPT])));
    let greedy = generate(&model, input, &config(), &mut |_, _| true);
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
    let found = beam_search(&model, input, &config(), BeamConfig::new(5));
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
        let found = beam_search(&model, input, &config(), width);
        let least = all[0].log_probability - margin;
        let near = all.iter().filter(|beam| beam.log_probability >= least);
        assert_same(&found, &near.cloned().collect::<Vec<_>>());
        assert!(found.len() < all.len());
    }
}
