//! Test problems, and their solution by the definition, in loops and in f64.

use anyref_decoder::refocus::{ObjectToken, RefocusInput};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::Rng;
use rand::rngs::StdRng;

/// Sizes and f64 values of a problem.
#[derive(Clone, Debug)]
pub struct Problem {
    pub batch: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub keys: usize,
    pub width: usize,
    pub offset: usize,
    pub lambda: f64,
    pub objects: Vec<ObjectToken>,
    pub query: Vec<f64>,
    pub key: Vec<f64>,
    pub hidden: Vec<f64>,
}

impl Problem {
    /// Random small problem of any shape.
    pub fn random(rng: &mut StdRng) -> Self {
        let kv_heads = rng.random_range(1..4);
        let heads = kv_heads * rng.random_range(1..4);
        let (batch, head_dim) = (rng.random_range(1..5), 2 * rng.random_range(1..5));
        let (keys, width) = (rng.random_range(3..24), rng.random_range(1..9));
        let count = rng.random_range(1..6);
        Self::sized(rng, [batch, kv_heads, heads, head_dim, keys, width, count])
    }

    /// Random problem of a given shape, with objects anywhere.
    pub fn sized(rng: &mut StdRng, sizes: [usize; 7]) -> Self {
        let [batch, kv_heads, heads, head_dim, keys, width, count] = sizes;
        let offset = rng.random_range(0..keys / 2);
        let objects = (0..count)
            .map(|_| {
                let position = rng.random_range(offset..keys);
                let start = rng.random_range(offset..=position);
                ObjectToken {
                    row: rng.random_range(0..batch),
                    position,
                    start,
                    end: rng.random_range(start..=position),
                    context_start: rng.random_range(0..=start.min(3)),
                }
            })
            .collect::<Vec<_>>();
        let mut values = |n: usize| {
            (0..n)
                .map(|_| f64::from(rng.random_range(-2.0..2.0_f32)))
                .collect()
        };
        Self {
            query: values(count * heads * head_dim),
            key: values(batch * kv_heads * keys * head_dim),
            hidden: values(batch * (keys - offset) * width),
            batch,
            heads,
            kv_heads,
            head_dim,
            keys,
            width,
            offset,
            lambda: 0.7,
            objects,
        }
    }

    /// Rounds the values so that f16 and bf16 hold them.
    pub fn rounded(mut self) -> Self {
        for values in [&mut self.query, &mut self.key, &mut self.hidden] {
            let round = |value: &mut f64| *value = (*value * 32.0).round() / 32.0;
            values.iter_mut().for_each(round);
        }
        self
    }

    /// Solves by the definition; logarithms preserve the weights of a span with vanishing
    /// attention.
    pub fn solve(&self) -> Vec<f64> {
        let length = self.keys - self.offset;
        let group = self.heads / self.kv_heads;
        let mut out = Vec::new();
        for (index, object) in self.objects.iter().enumerate() {
            let mut logs = vec![Vec::new(); object.end - object.start];
            for head in 0..self.heads {
                let score = |position: usize| {
                    (0..self.head_dim)
                        .map(|d| {
                            let q = self.query[(index * self.heads + head) * self.head_dim + d];
                            let row = object.row * self.kv_heads + head / group;
                            q * self.key[(row * self.keys + position) * self.head_dim + d]
                        })
                        .sum::<f64>()
                        / (self.head_dim as f64).sqrt()
                };
                let context = (object.context_start..=object.position)
                    .map(score)
                    .collect::<Vec<_>>();
                let total = log_sum(&context);
                for (log, position) in logs.iter_mut().zip(object.start..) {
                    log.push(score(position) - total);
                }
            }
            let logs = logs.iter().map(|heads| log_sum(heads)).collect::<Vec<_>>();
            let total = log_sum(&logs);
            let state = |position: usize, d: usize| {
                self.hidden[(object.row * length + position - self.offset) * self.width + d]
            };
            for d in 0..self.width {
                let sum = logs
                    .iter()
                    .zip(object.start..)
                    .map(|(log, p)| (log - total).exp() * state(p, d));
                out.push(state(object.position, d) + self.lambda * sum.sum::<f64>());
            }
        }
        out
    }

    pub fn tensors<B: Backend>(&self) -> (Tensor<B, 3>, Tensor<B, 4>, Tensor<B, 3>) {
        let device = Default::default();
        let data = |values: &[f64], shape: &[usize]| {
            let values = values.iter().map(|&value| value as f32).collect::<Vec<_>>();
            TensorData::new(values, shape.to_vec())
        };
        let query = data(
            &self.query,
            &[self.objects.len(), self.heads, self.head_dim],
        );
        let key = data(
            &self.key,
            &[self.batch, self.kv_heads, self.keys, self.head_dim],
        );
        let hidden = data(
            &self.hidden,
            &[self.batch, self.keys - self.offset, self.width],
        );
        (
            Tensor::from_data(query, &device),
            Tensor::from_data(key, &device),
            Tensor::from_data(hidden, &device),
        )
    }

    pub fn input<B: Backend>(
        &self,
        (query, key, hidden): (Tensor<B, 3>, Tensor<B, 4>, Tensor<B, 3>),
    ) -> RefocusInput<B> {
        RefocusInput {
            query,
            key,
            hidden,
            hidden_offset: self.offset,
            objects: self.objects.clone(),
            lambda: self.lambda,
        }
    }
}

fn log_sum(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match top.is_finite() {
        true => {
            values
                .iter()
                .map(|value| (value - top).exp())
                .sum::<f64>()
                .ln()
                + top
        }
        false => top,
    }
}

/// Values of a tensor.
pub fn numbers<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Asserts that numbers differ by at most `tolerance`.
#[track_caller]
pub fn assert_near(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (actual - expected).abs();
        assert!(
            error <= tolerance,
            "[{index}]: {actual}, not {expected}: off by {error:.2e}, allowed {tolerance:.0e}"
        );
    }
}
