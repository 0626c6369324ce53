//! Generation in batches, with stop tokens, callbacks and seeds, and its asynchronous form.

use std::ops::ControlFlow;

use anyref_llm::{
    FinishReason, Generation, GenerationConfig, GenerationInput, GenerationOutput, Llama,
    LlamaConfig, generate, generate_async, read_continuations,
};
use anyref_ops::testing::assert_close;

use crate::support::{TestBackend, go_on, hidden, ids, mask, polled, random_model};

fn run(
    model: &Llama<TestBackend>,
    rows: &[&[i64]],
    padding: Option<&[&[u8]]>,
    config: &GenerationConfig,
) -> GenerationOutput<TestBackend> {
    let input = GenerationInput::new(model.embed(ids(rows))).with_padding(padding.map(mask));
    generate(model, input, config, go_on).unwrap()
}

fn sampled(seed: u64) -> GenerationConfig {
    GenerationConfig {
        temperature: 0.9,
        seed,
        ..GenerationConfig::greedy(24)
    }
}

#[test]
fn batches_padded_on_either_side_are_single_rows() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    for config in [GenerationConfig::greedy(24), sampled(3)] {
        // Sampling depends on the row's index, so each row is compared at its own index.
        let first = run(&model, &[&[5, 17, 3, 99, 40]], None, &config).tokens[0].clone();
        let second = run(&model, &[&[8, 9], &[8, 9]], None, &config).tokens[1].clone();
        let left = run(
            &model,
            &[&[5, 17, 3, 99, 40], &[0, 0, 0, 8, 9]],
            Some(&[&[0, 0, 0, 0, 0], &[1, 1, 1, 0, 0]]),
            &config,
        );
        assert_eq!(left.tokens, [first.clone(), second.clone()]);
        assert_eq!(left.first, [4, 4]);
        let right = run(
            &model,
            &[&[5, 17, 3, 99, 40], &[8, 9, 0, 0, 0]],
            Some(&[&[0, 0, 0, 0, 0], &[0, 0, 1, 1, 1]]),
            &config,
        );
        assert_eq!(right.tokens, [first, second]);
        assert_eq!(right.first, [4, 1]);
    }
}

#[test]
fn states_are_those_of_the_whole_sequence() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let prompt: &[i64] = &[5, 17, 3];
    let output = run(&model, &[prompt], None, &GenerationConfig::greedy(6));
    let answer = &output.tokens[0];
    assert_eq!((answer.len(), output.finish[0]), (6, FinishReason::Length));
    // The last token was generated and not fed back.
    let read: Vec<i64> = prompt
        .iter()
        .copied()
        .chain(answer[..5].iter().map(|&token| i64::from(token)))
        .collect();
    assert_close(&output.hidden, &hidden(&model, &[&read]), 1e-5);
    assert_eq!(output.query.dims(), [1, 4, 8, 8]);
    assert_eq!(output.key.dims(), [1, 2, 8, 8]);
    assert_eq!((output.offset, output.cache.len()), (0, 8));
}

#[test]
fn a_cached_prefix_and_a_returned_cache_go_on() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let config = GenerationConfig::greedy(8);
    let whole = run(&model, &[&[5, 17, 3, 99]], None, &config);
    let mut cache = model.new_cache();
    let prefix = anyref_llm::LlamaInput::new(model.embed(ids(&[&[5, 17]])));
    model.forward(prefix, Some(&mut cache));
    let input = GenerationInput::new(model.embed(ids(&[&[3, 99]]))).with_cache(Some(cache));
    let output = generate(&model, input, &config, go_on).unwrap();
    assert_eq!((&output.tokens, output.offset), (&whole.tokens, 2));
    assert_close(&output.hidden, &whole.hidden.narrow(1, 2, 9), 1e-5);
    assert_close(&output.key, &whole.key, 1e-5);

    let short = run(
        &model,
        &[&[5, 17, 3, 99]],
        None,
        &GenerationConfig::greedy(3),
    );
    let last = i64::from(short.tokens[0][2]);
    let input = GenerationInput::new(model.embed(ids(&[&[last]]))).with_cache(Some(short.cache));
    let rest = generate(&model, input, &GenerationConfig::greedy(5), go_on).unwrap();
    assert_eq!(
        [&short.tokens[0][..], &rest.tokens[0]].concat(),
        whole.tokens[0]
    );
}

#[test]
fn given_continuations_leave_the_states_of_generated_ones() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let prompt: &[&[i64]] = &[&[5, 17, 3, 99]];
    let long = run(&model, prompt, None, &GenerationConfig::greedy(7));
    let continuations = [long.tokens[0].clone(), vec![9, 4, 60], vec![8]];
    let mut cache = model.new_cache();
    let prefix = anyref_llm::LlamaInput::new(model.embed(ids(&[&[5, 17]])));
    model.forward(prefix, Some(&mut cache));
    let rest = model.embed(ids(&[&[3, 99]]));
    let given = |count: usize| {
        let input = GenerationInput::new(rest.clone()).with_cache(Some(cache.clone()));
        read_continuations(&model, input, &continuations[..count])
    };
    let output = given(3);
    assert_eq!(output.tokens, continuations);
    assert_eq!((output.offset, &output.first[..]), (2, &[1, 1, 1][..]));
    let row =
        |row: usize, length: usize| output.hidden.clone().narrow(0, row, 1).narrow(1, 0, length);
    assert_close(&row(0, 8), &long.hidden.clone().narrow(1, 2, 8), 1e-5);
    assert_close(
        &output.query.clone().narrow(0, 0, 1),
        &long.query.narrow(2, 2, 8),
        1e-5,
    );
    assert_close(&output.key.clone().narrow(0, 0, 1), &long.key, 1e-5);
    let other = hidden(&model, &[&[5, 17, 3, 99, 9, 4]]);
    assert_close(&row(1, 4), &other.narrow(1, 2, 4), 1e-5);
    // Keys and queries of a row with trailing padding equal those of the row alone.
    let cached = GenerationInput::new(rest.clone()).with_cache(Some(cache.clone()));
    let alone = read_continuations(&model, cached, &continuations[1..2]);
    let key = |output: &GenerationOutput<TestBackend>, row| output.key.clone().narrow(0, row, 1);
    assert_close(&key(&output, 1).narrow(2, 0, 6), &key(&alone, 0), 1e-5);
    let query =
        |output: &GenerationOutput<TestBackend>, row| output.query.clone().narrow(0, row, 1);
    assert_close(&query(&output, 1).narrow(2, 0, 4), &query(&alone, 0), 1e-5);
    let single = hidden(&model, &[&[5, 17, 3, 99]]);
    assert_close(&row(2, 2), &single.narrow(1, 2, 2), 1e-5);
    // A single row has no padding.
    let alone = given(1);
    assert_close(&alone.hidden, &long.hidden.narrow(1, 2, 8), 1e-5);
    assert!(alone.cache.padding().is_none() && output.cache.padding().is_some());
}

#[test]
fn each_row_stops_on_its_own() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let rows: &[&[i64]] = &[&[5, 17, 3], &[8, 9, 10], &[60, 61, 62]];
    let free = run(&model, rows, None, &GenerationConfig::greedy(12));
    // A token of the first row that occurs at different positions, or never, in the others.
    let stop = free.tokens[0][4];
    let config = GenerationConfig {
        stop_tokens: vec![stop],
        ..GenerationConfig::greedy(12)
    };
    let stopped = run(&model, rows, None, &config);
    for row in 0..3 {
        let end = free.tokens[row].iter().position(|&token| token == stop);
        let expected = &free.tokens[row][..end.unwrap_or(12)];
        assert_eq!(stopped.tokens[row], expected);
        let reason = end.map_or(FinishReason::Length, |_| FinishReason::Stop);
        assert_eq!(stopped.finish[row], reason);
    }
    // Positions after the end of a row are padding, so that the cache can be continued.
    let ended = stopped.tokens[0].len();
    let padding: Vec<bool> = stopped
        .cache
        .padding()
        .unwrap()
        .narrow(0, 0, 1)
        .into_data()
        .iter()
        .collect();
    assert_eq!(padding.iter().filter(|&&padded| !padded).count(), 3 + ended);
}

#[test]
fn the_callback_sees_every_token_and_can_end_a_row() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let rows: &[&[i64]] = &[&[5, 17, 3], &[8, 9, 10]];
    let mut seen = vec![Vec::new(); 2];
    let input = GenerationInput::new(model.embed(ids(rows)));
    let output = generate(
        &model,
        input,
        &GenerationConfig::greedy(10),
        |row, token| {
            seen[row].push(token);
            match row == 0 && seen[0].len() == 3 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        },
    )
    .unwrap();
    assert_eq!(seen, output.tokens);
    assert_eq!(
        output.tokens.iter().map(Vec::len).collect::<Vec<_>>(),
        [3, 10]
    );
    assert_eq!(
        output.finish,
        [FinishReason::Cancelled, FinishReason::Length]
    );
}

#[test]
fn a_generation_that_is_cancelled_keeps_its_tokens_and_states() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let rows: &[&[i64]] = &[&[5, 17, 3], &[8, 9, 10]];
    let whole = run(&model, rows, None, &GenerationConfig::greedy(10));
    for wanted in 1..5 {
        let mut steps = [0; 2];
        let input = GenerationInput::new(model.embed(ids(rows)));
        let output = generate(&model, input, &GenerationConfig::greedy(10), |row, _| {
            steps[row] += 1;
            match steps[row] == wanted {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        let output = output.unwrap();
        assert_eq!(steps, [wanted; 2], "no token after the last wanted one");
        assert_eq!(output.finish, [FinishReason::Cancelled; 2]);
        for (tokens, whole) in output.tokens.iter().zip(&whole.tokens) {
            assert_eq!(tokens, &whole[..wanted]);
        }
        // The last token is not fed back, as at any other end.
        let read = 3 + wanted - 1;
        assert_eq!(output.cache.len(), read);
        assert_close(
            &output.hidden,
            &whole.hidden.clone().narrow(1, 0, read),
            1e-5,
        );
        assert_close(&output.query, &whole.query.clone().narrow(2, 0, read), 1e-5);
        assert_close(&output.key, &whole.key.clone().narrow(2, 0, read), 1e-5);
    }
}

#[test]
fn awaited_generation_is_the_same() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let rows: &[&[i64]] = &[&[5, 17, 3, 99], &[0, 0, 8, 9]];
    let padding: &[&[u8]] = &[&[0, 0, 0, 0], &[1, 1, 0, 0]];
    for config in [GenerationConfig::greedy(12), sampled(7)] {
        let waited = run(&model, rows, Some(padding), &config);
        let input = GenerationInput::new(model.embed(ids(rows))).with_padding(Some(mask(padding)));
        let awaited = polled(generate_async(&model, input, &config, go_on)).unwrap();
        assert_eq!(awaited.tokens, waited.tokens);
        assert_eq!(awaited.finish, waited.finish);
        assert_eq!(awaited.first, waited.first);
        assert_eq!(awaited.hidden.into_data(), waited.hidden.into_data());
        assert_eq!(awaited.key.into_data(), waited.key.into_data());
    }
}

#[test]
fn states_between_two_tokens_are_those_of_the_end() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let rows: &[&[i64]] = &[&[5, 17, 3, 99], &[0, 0, 8, 9]];
    let padding: &[&[u8]] = &[&[0, 0, 0, 0], &[1, 1, 0, 0]];
    let config = GenerationConfig::greedy(6);
    let whole = run(&model, rows, Some(padding), &config);
    let input = GenerationInput::new(model.embed(ids(rows))).with_padding(Some(mask(padding)));
    let mut generation = polled(Generation::start(&model, input, &config)).unwrap();
    let mut steps = 0;
    while let Some(chosen) = polled(generation.step()).unwrap() {
        let expected = [0, 1].map(|row| (row, whole.tokens[row][steps]));
        assert_eq!(chosen, expected);
        steps += 1;
        // Tokens but the newest were read.
        assert_eq!([generation.read(0), generation.read(1)], [steps - 1; 2]);
        let output = generation.output();
        let read = 4 + steps - 1;
        assert_close(
            &output.hidden,
            &whole.hidden.clone().narrow(1, 0, read),
            0.0,
        );
        assert_close(&output.query, &whole.query.clone().narrow(2, 0, read), 0.0);
        assert_close(&output.key, &whole.key.clone().narrow(2, 0, read), 0.0);
        assert_eq!(output.tokens, generation.tokens());
    }
    assert_eq!(steps, 6);
    assert_eq!(generation.output().finish, whole.finish);

    // A row that is ended leaves the other one as it is.
    let input = GenerationInput::new(model.embed(ids(rows))).with_padding(Some(mask(padding)));
    let mut generation = polled(Generation::start(&model, input, &config)).unwrap();
    polled(generation.step()).unwrap();
    generation.end(0);
    while polled(generation.step()).unwrap().is_some() {}
    let output = generation.output();
    assert_eq!(
        output.tokens,
        [whole.tokens[0][..1].to_vec(), whole.tokens[1].clone()]
    );
    assert_eq!(output.finish[0], FinishReason::Cancelled);
    assert_eq!([generation.read(0), generation.read(1)], [0, 5]);
}

#[test]
fn the_seed_decides() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let rows: &[&[i64]] = &[&[5, 17, 3], &[5, 17, 3]];
    let tokens = |config: &GenerationConfig| run(&model, rows, None, config).tokens;
    let hot = |seed| GenerationConfig {
        temperature: 2.0,
        ..sampled(seed)
    };
    assert_eq!(tokens(&hot(1)), tokens(&hot(1)));
    assert_ne!(tokens(&hot(1)), tokens(&hot(2)));
    let one = tokens(&hot(1));
    assert_ne!(one[0], one[1], "equal prompts in one batch draw apart");
    let greedy = tokens(&GenerationConfig::greedy(24));
    assert_eq!(tokens(&GenerationConfig { top_k: 1, ..hot(1) }), greedy);
    assert_eq!(
        tokens(&GenerationConfig {
            top_p: 1e-9,
            ..hot(1)
        }),
        greedy
    );
    assert_eq!(
        tokens(&GenerationConfig {
            temperature: 1e-6,
            ..hot(1)
        }),
        greedy
    );
}

#[test]
fn samples_follow_the_distribution_and_its_limits() {
    use anyref_llm::Sampler;
    let logits = [0.1f32, 0.2, 0.3, 0.4].map(f32::ln);
    let shares = |config: GenerationConfig| {
        let mut sampler = Sampler::new(&config, 0);
        let mut counts = [0.0; 4];
        (0..20_000).for_each(|_| counts[sampler.sample(&logits) as usize] += 1.0 / 20_000.0);
        counts
    };
    let near = |found: [f64; 4], expected: [f64; 4]| {
        let far = found
            .iter()
            .zip(expected)
            .any(|(a, b)| (a - b).abs() > 0.015);
        assert!(!far, "{found:?} instead of {expected:?}");
    };
    let plain = GenerationConfig {
        temperature: 1.0,
        ..GenerationConfig::default()
    };
    near(shares(plain.clone()), [0.1, 0.2, 0.3, 0.4]);
    near(
        shares(GenerationConfig {
            top_k: 2,
            ..plain.clone()
        }),
        [0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0],
    );
    near(
        shares(GenerationConfig {
            top_p: 0.75,
            ..plain.clone()
        }),
        [0.0, 2.0 / 9.0, 3.0 / 9.0, 4.0 / 9.0],
    );
    let sharp = [0.01, 0.04, 0.09, 0.16].map(|share| share / 0.3);
    near(
        shares(GenerationConfig {
            temperature: 0.5,
            ..plain
        }),
        sharp,
    );
}

#[test]
fn the_context_ends_generation() {
    let config = LlamaConfig {
        max_position_embeddings: 6,
        ..LlamaConfig::tiny()
    };
    let model = random_model::<TestBackend>(&config);
    assert_eq!(model.max_positions(), Some(6));
    let count =
        |rows: &[&[i64]]| run(&model, rows, None, &GenerationConfig::greedy(20)).tokens[0].len();
    // Six positions are read; the last generated token needs none.
    assert_eq!(count(&[&[1, 2, 3, 4]]), 3);
    assert_eq!(count(&[&[1, 2, 3, 4, 5, 6]]), 1);
    assert_eq!(count(&[&[1, 2, 3, 4, 5, 6, 7]]), 0);
    let none = run(&model, &[&[1, 2]], None, &GenerationConfig::greedy(0));
    assert_eq!(
        (none.tokens, none.hidden.dims()),
        (vec![vec![]], [1, 2, 32])
    );
}
