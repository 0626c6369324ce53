//! Attention to halves and blocks against attention to their values, and against f64.

use super::super::cached_attention as fused;
use super::{TestBackend, difference, random, values};
use crate::attention::composed;
use crate::{AttentionInput, CacheType, CachedAttention, CachedRows};
use burn::tensor::{Bool, DType, Tensor, TensorData};

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    head_dim: usize,
    value_dim: usize,
    masked: bool,
    causal: bool,
}

const PLAIN: Case = Case {
    batch: 2,
    heads: 4,
    kv_heads: 2,
    queries: 1,
    keys: 37,
    head_dim: 64,
    value_dim: 64,
    masked: false,
    causal: false,
};

/// Few queries (keys and values in place), many (tiles of 192 against blocks of 256 keys), shared
/// heads, masks, and queries that see no key.
const CASES: [Case; 8] = [
    PLAIN,
    Case {
        queries: 3,
        causal: true,
        masked: true,
        ..PLAIN
    },
    Case {
        queries: 40,
        keys: 300,
        causal: true,
        ..PLAIN
    },
    Case {
        batch: 1,
        queries: 200,
        keys: 530,
        masked: true,
        causal: true,
        ..PLAIN
    },
    Case {
        heads: 2,
        queries: 5,
        keys: 3,
        causal: true,
        ..PLAIN
    },
    Case {
        queries: 7,
        keys: 257,
        head_dim: 96,
        value_dim: 32,
        masked: true,
        ..PLAIN
    },
    Case {
        batch: 1,
        heads: 1,
        kv_heads: 1,
        queries: 4,
        keys: 1,
        ..PLAIN
    },
    Case {
        batch: 1,
        heads: 8,
        kv_heads: 8,
        keys: 1100,
        head_dim: 128,
        value_dim: 128,
        masked: true,
        ..PLAIN
    },
];

impl Case {
    fn query(&self) -> Tensor<TestBackend, 4> {
        // As a reshape of `[batch, queries, heads, head_dim]` has it.
        random([self.batch, self.queries, self.heads, self.head_dim], 1).swap_dims(1, 2)
    }

    fn key(&self) -> Tensor<TestBackend, 4> {
        random([self.batch, self.kv_heads, self.keys, self.head_dim], 2)
    }

    fn value(&self) -> Tensor<TestBackend, 4> {
        random([self.batch, self.kv_heads, self.keys, self.value_dim], 3)
    }

    fn mask(&self) -> Option<Tensor<TestBackend, 4, Bool>> {
        let shape = [self.batch, 1, 1, self.keys];
        let masked = (0..self.batch * self.keys).map(|i| i % 7 == 2);
        let masked = TensorData::new(masked.collect::<Vec<_>>(), shape);
        self.masked
            .then(|| Tensor::from_data(masked, &Default::default()))
    }

    fn cached(&self, cache_type: CacheType) -> CachedAttention<TestBackend> {
        CachedAttention {
            query: self.query(),
            key: CachedRows::new(self.key(), cache_type),
            value: CachedRows::new(self.value(), cache_type),
            mask: self.mask(),
            causal: self.causal,
        }
    }
}

const NARROW: [CacheType; 3] = [CacheType::F16, CacheType::Bf16, CacheType::Q8_0];

/// Numbers are those from a wide copy, but for the order of sums.
#[test]
fn attention_is_that_to_the_widened_values() {
    for case in CASES {
        for cache_type in NARROW {
            let input = case.cached(cache_type);
            let wide = [&input.key, &input.value].map(|rows| rows.values(DType::F32));
            let [key, value] = wide;
            let wide = AttentionInput::new(case.query(), key, value)
                .with_mask(case.mask())
                .with_causal(case.causal);
            let found = fused(input).expect("there is a fused form");
            let worst = difference(found, composed(wide));
            assert!(worst < 3e-5, "{case:?} {cache_type}: {worst}");
        }
    }
}

/// Views into larger buffers, as a cache with room for more has them.
#[test]
fn positions_behind_the_last_are_not_seen() {
    for case in CASES {
        for cache_type in NARROW {
            let input = case.cached(cache_type);
            let expected = fused(input.clone()).expect("there is a fused form");
            let longer = |rows: &CachedRows<TestBackend>, seed| {
                let [batch, heads, length, width] = rows.dims();
                let more = CachedRows::new(random([batch, heads, 5, width], seed), cache_type);
                CachedRows::cat(vec![rows.clone(), more], 2).truncate(length)
            };
            let (key, value) = (longer(&input.key, 8), longer(&input.value, 9));
            let found = fused(CachedAttention {
                key,
                value,
                ..input
            });
            let worst = difference(found.expect("there is a fused form"), expected);
            assert_eq!(worst, 0.0, "{case:?} {cache_type}");
        }
    }
}

/// Change that the rounding of keys and values may make, by sums in f64 over the values as they
/// were: the weights of the values are off by a factor of `e^(2 · error of a score)`, the values by
/// their own error.
#[test]
fn attention_is_off_by_the_rounding_of_the_type() {
    let case = Case {
        batch: 1,
        heads: 2,
        kv_heads: 1,
        keys: 50,
        ..PLAIN
    };
    let [query, key, value] = [case.query(), case.key(), case.value()].map(values);
    let width = case.head_dim;
    let scale = (width as f64).powf(-0.5);
    for (cache_type, relative) in [
        (CacheType::F16, 1.0 / 2048.0),
        (CacheType::Bf16, 1.0 / 256.0),
        // Half a step of the largest value of a block, and the scale's own rounding.
        (CacheType::Q8_0, 0.5 / 127.0 + 1.0 / 2048.0),
    ] {
        let found = values(fused(case.cached(cache_type)).expect("there is a fused form"));
        for (query, found) in query.chunks(width).zip(found.chunks(width)) {
            let rows = |all: &[f32]| all.chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>();
            let (keys, all_values) = (rows(&key), rows(&value));
            // How much each value of a row may be off.
            let off = |row: &[f32], i: usize| {
                let size = match cache_type {
                    CacheType::Q8_0 => {
                        let block = &row[i / 32 * 32..][..32];
                        block.iter().fold(0.0f32, |most, x| most.max(x.abs()))
                    }
                    _ => row[i].abs(),
                };
                relative * f64::from(size)
            };
            let scores = keys.iter().map(|row| {
                let terms = query.iter().zip(row);
                scale
                    * terms
                        .map(|(&q, &k)| f64::from(q) * f64::from(k))
                        .sum::<f64>()
            });
            let weights: Vec<f64> = scores.map(f64::exp).collect();
            let total: f64 = weights.iter().sum();
            let score_off = keys.iter().map(|row| {
                let terms = query.iter().enumerate();
                scale
                    * terms
                        .map(|(i, q)| f64::from(q.abs()) * off(row, i))
                        .sum::<f64>()
            });
            let factor = (2.0 * score_off.fold(0.0, f64::max)).exp() - 1.0;
            for (i, &found) in found.iter().enumerate() {
                let part = |value: &dyn Fn(&[f32]) -> f64| {
                    let terms = weights.iter().zip(&all_values);
                    terms
                        .map(|(weight, row)| weight / total * value(row))
                        .sum::<f64>()
                };
                let expected = part(&|row| f64::from(row[i]));
                let size = part(&|row| f64::from(row[i].abs()) + off(row, i));
                let allowed = factor * size + part(&|row| off(row, i)) + 1e-5;
                let error = (f64::from(found) - expected).abs();
                assert!(
                    error <= allowed,
                    "{cache_type}: {error:.2e} of {allowed:.2e}"
                );
                // The bound says something.
                assert!(
                    allowed < 0.3 * size + 1e-4,
                    "{cache_type}: {allowed} of {size}"
                );
            }
        }
    }
}

/// Other types than those of a cache are left to the composed form.
#[test]
fn mixed_types_are_composed() {
    let case = CASES[0];
    let mixed = CachedAttention {
        value: CachedRows::new(case.value(), CacheType::Bf16),
        ..case.cached(CacheType::F16)
    };
    assert!(fused(mixed.clone()).is_err());
    let composed = crate::cached_attention(mixed.clone());
    let wide = AttentionInput::new(
        case.query(),
        mixed.key.values(DType::F32),
        mixed.value.values(DType::F32),
    );
    assert!(difference(composed, crate::attention(wide)) < 1e-6);
}
