//! Keys and values kept in narrower types.

use anyref_llm::{
    BeamConfig, GenerationConfig, GenerationInput, KvCache, Llama, LlamaConfig, LlamaInput,
    beam_search, generate, read_continuations,
};
use anyref_ops::testing::{assert_close, max_abs_error};
use anyref_ops::{CacheCapacity, CacheType};
use burn::tensor::{DType, Tensor};

use crate::support::{TestAutodiff, TestBackend, go_on, ids, mask, random_model};

/// Heads of 32 values, of which keys and values have half as many.
fn config() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 128,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        ..LlamaConfig::tiny()
    }
}

/// Each type with what states may differ by; they are about 1 in size.
const TYPES: [(CacheType, f64); 3] = [
    (CacheType::F16, 4e-3),
    (CacheType::Bf16, 4e-2),
    (CacheType::Q8_0, 4e-2),
];

fn model(cache_type: CacheType) -> Llama<TestBackend> {
    let model = random_model::<TestBackend>(&config());
    model.with_cache_type(cache_type).unwrap()
}

fn feed(
    model: &Llama<TestBackend>,
    rows: &[&[i64]],
    cache: &mut KvCache<TestBackend>,
) -> Tensor<TestBackend, 3> {
    model
        .forward(LlamaInput::new(model.embed(ids(rows))), Some(cache))
        .hidden
}

const ROW: [i64; 9] = [5, 17, 3, 99, 40, 41, 7, 8, 2];

/// In one piece, token by token, and by both ways to attend to several tokens, with each capacity.
#[test]
fn states_are_those_of_f32_but_for_rounding() {
    let exact = model(CacheType::F32);
    let whole = exact.forward(LlamaInput::new(exact.embed(ids(&[&ROW]))), None);
    for (cache_type, tolerance) in TYPES {
        let model = model(cache_type);
        let mut first: Option<Tensor<TestBackend, 3>> = None;
        for cuts in [&[9][..], &[1; 9], &[6, 3], &[2, 1, 6]] {
            for spare in [
                CacheCapacity::Exact,
                CacheCapacity::Sliced,
                CacheCapacity::Masked,
            ] {
                let mut cache = model.new_cache().with_capacity(spare);
                let (mut start, mut parts) = (0, Vec::new());
                for &cut in cuts {
                    parts.push(feed(&model, &[&ROW[start..start + cut]], &mut cache));
                    start += cut;
                }
                let found = Tensor::cat(parts, 1);
                let error = max_abs_error(&found, &whole.hidden);
                assert!(
                    error < tolerance && error > 1e-6,
                    "{cache_type} {cuts:?}: {error}"
                );
                // What is read does not depend on how much is read at once, but where a rounding of
                // some layer's input falls to the other side.
                let first = first.get_or_insert(found.clone());
                assert_close(&found, first, tolerance / 2.0);
                let key = cache.last_key().unwrap().cast(DType::F32);
                assert_close(&key, &whole.key, tolerance);
            }
        }
    }
}

#[test]
fn a_cache_takes_the_bytes_of_its_type() {
    let bytes = |cache_type| {
        let model = model(cache_type);
        let mut cache = model.new_cache().with_capacity(CacheCapacity::Exact);
        feed(&model, &[&ROW, &ROW], &mut cache);
        assert_eq!((cache.len(), cache.batch()), (9, 2));
        cache.bytes()
    };
    let values = 2 * config().num_hidden_layers * 2 * 2 * 32 * 9;
    assert_eq!(bytes(CacheType::F32), 4 * values);
    assert_eq!(bytes(CacheType::F16), 2 * values);
    assert_eq!(bytes(CacheType::Bf16), 2 * values);
    assert_eq!(bytes(CacheType::Q8_0), values / 32 * 34);
}

/// Rows that were repeated, selected, put together or cut go on as they would alone.
#[test]
fn rows_go_on_from_changed_caches() {
    for (cache_type, _) in TYPES {
        let model = model(cache_type);
        let read = |rows: &[&[i64]]| {
            let mut cache = model.new_cache();
            feed(&model, rows, &mut cache);
            cache
        };
        let (one, other): (&[i64], &[i64]) = (&[5, 17, 3, 99], &[8, 7, 6, 5]);
        let next = |cache: &KvCache<TestBackend>| {
            let mut cache = cache.clone();
            let rows: Vec<&[i64]> = vec![&[40]; cache.batch()];
            // The second token is written in place.
            feed(&model, &rows, &mut cache);
            feed(&model, &rows, &mut cache)
        };
        let alone = [one, other].map(|row| next(&read(&[row])));
        let same = |cache: &KvCache<TestBackend>, expected: &[usize]| {
            let expected = expected.iter().map(|&row| alone[row].clone());
            let expected = Tensor::cat(expected.collect(), 0);
            assert_close(&next(cache), &expected, 1e-5);
        };
        let both = read(&[one, other]);
        same(&both, &[0, 1]);
        same(&both.repeat(2), &[0, 0, 1, 1]);
        same(&both.select(&[1, 0, 1]), &[1, 0, 1]);
        same(&KvCache::cat(&[read(&[other]), both.clone()]), &[1, 0, 1]);
        same(&both.detach(), &[0, 1]);
        let longer: &[i64] = &[5, 17, 3, 99, 1, 2];
        same(&read(&[longer]).truncate(4), &[0]);
        assert_eq!(both.truncate(0).len(), 0);
        let mut again = both.truncate(0);
        feed(&model, &[one, other], &mut again);
        assert_eq!(again.bytes(), both.bytes());
    }
}

#[test]
fn padding_is_not_attended_to() {
    for (cache_type, _) in TYPES {
        let model = model(cache_type);
        let mut plain = model.new_cache();
        feed(&model, &[&[5, 17, 3]], &mut plain);
        let mut padded = model.new_cache();
        let input = LlamaInput::new(model.embed(ids(&[&[0, 77, 5, 17, 3]])));
        let padding = Some(mask(&[&[1, 1, 0, 0, 0]]));
        model.forward(input.with_padding(padding), Some(&mut padded));
        let expected = feed(&model, &[&[40]], &mut plain);
        // Six tokens are more than are attended to in place.
        let more: &[i64] = &[40, 41, 42, 43, 44, 45];
        assert_close(&feed(&model, &[&[40]], &mut padded), &expected, 1e-5);
        let expected = feed(&model, &[more], &mut plain);
        assert_close(&feed(&model, &[more], &mut padded), &expected, 1e-5);
    }
}

/// Greedy words are those of f32, and beams and given continuations are read alike.
#[test]
fn words_are_those_of_f32() {
    let prompt = |model: &Llama<TestBackend>| GenerationInput::new(model.embed(ids(&[&ROW])));
    let settings = GenerationConfig {
        max_new_tokens: 12,
        ..Default::default()
    };
    let answer =
        |model: &Llama<TestBackend>| generate(model, prompt(model), &settings, go_on).unwrap();
    let exact = answer(&model(CacheType::F32));
    for (cache_type, tolerance) in TYPES {
        let model = model(cache_type);
        let found = answer(&model);
        assert_eq!(found.tokens, exact.tokens, "{cache_type}");
        assert_eq!(found.key.dtype(), DType::F32);
        assert_eq!(found.key.dims(), exact.key.dims());
        let read = read_continuations(&model, prompt(&model), &found.tokens);
        assert_close(&read.hidden, &found.hidden, tolerance);
        assert_close(&read.key, &found.key, tolerance);
        let beams = beam_search(&model, prompt(&model), &settings, BeamConfig::new(1)).unwrap();
        assert_eq!(beams[0].tokens, found.tokens[0], "{cache_type}");
    }
}

#[test]
fn heads_of_no_whole_blocks_are_refused() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let error = model.with_cache_type(CacheType::Q8_0).unwrap_err();
    let line = error.to_string();
    assert!(
        line.contains("have 8: keep keys and values in f16"),
        "{line}"
    );
}

/// Rounding has no gradient, so that a backend with gradients keeps what is computed.
#[test]
fn gradients_flow_as_without_a_type() {
    let model = random_model::<TestAutodiff>(&config());
    let model = model.with_cache_type(CacheType::Q8_0).unwrap();
    let prefix = model.embed(ids(&[&ROW])).detach().require_grad();
    let mut cache = model.new_cache();
    model.forward(LlamaInput::new(prefix.clone()), Some(&mut cache));
    let next = LlamaInput::new(model.embed(ids(&[&[40]])));
    let grads = model
        .forward(next, Some(&mut cache))
        .hidden
        .sum()
        .backward();
    let gradient = prefix.grad(&grads).expect("gradient");
    assert!(gradient.abs().max().into_scalar() > 0.0);
}
