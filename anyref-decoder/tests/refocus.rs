//! Refocusing against its definition, in loops and in f64.

use anyref_decoder::refocus::{ObjectToken, RefocusInput, refocus};
use anyref_weights::testing::{assert_close, random};
use burn::backend::Autodiff;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

type TestBackend = burn_flex::Flex;
type TestAutodiff = Autodiff<TestBackend>;

/// Sizes and values of a problem, values in f64.
#[derive(Clone)]
struct Problem {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    keys: usize,
    width: usize,
    offset: usize,
    lambda: f64,
    objects: Vec<ObjectToken>,
    query: Vec<f64>,
    key: Vec<f64>,
    hidden: Vec<f64>,
}

impl Problem {
    fn random(rng: &mut StdRng) -> Self {
        let kv_heads = rng.random_range(1..4);
        let heads = kv_heads * rng.random_range(1..4);
        let (batch, head_dim) = (rng.random_range(1..5), 2 * rng.random_range(1..5));
        let (keys, width) = (rng.random_range(3..24), rng.random_range(1..9));
        let offset = rng.random_range(0..keys / 2);
        let count = rng.random_range(1..6);
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

    /// The definition; logarithms keep the weights of a span that gets no attention to speak of.
    fn solve(&self) -> Vec<f64> {
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

    fn tensors<B: Backend>(&self) -> (Tensor<B, 3>, Tensor<B, 4>, Tensor<B, 3>) {
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

    fn input<B: Backend>(
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

    fn expected<B: Backend>(&self) -> Tensor<B, 2> {
        let values = self
            .solve()
            .iter()
            .map(|&value| value as f32)
            .collect::<Vec<_>>();
        let data = TensorData::new(values, [self.objects.len(), self.width]);
        Tensor::from_data(data, &Default::default())
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

#[test]
fn states_are_those_of_the_definition() {
    let mut rng = StdRng::seed_from_u64(0);
    for _ in 0..300 {
        let problem = Problem::random(&mut rng);
        let output = refocus(problem.input(problem.tensors::<TestBackend>()));
        assert_close(&output, &problem.expected(), 2e-5);
    }
}

/// One object a row, in order: the case in which nothing is gathered.
#[test]
fn one_object_a_row_is_the_definition_too() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut seen = 0;
    while seen < 50 {
        let mut problem = Problem::random(&mut rng);
        if problem.objects.len() < problem.batch {
            continue;
        }
        problem.objects.truncate(problem.batch);
        problem
            .query
            .truncate(problem.batch * problem.heads * problem.head_dim);
        for (row, object) in problem.objects.iter_mut().enumerate() {
            object.row = row;
        }
        let output = refocus(problem.input(problem.tensors::<TestBackend>()));
        assert_close(&output, &problem.expected(), 2e-5);
        seen += 1;
    }
}

#[test]
fn gradients_are_finite_differences_of_the_definition() {
    let mut rng = StdRng::seed_from_u64(2);
    for _ in 0..25 {
        let mut problem = Problem::random(&mut rng);
        let count = problem.objects.len() * problem.width;
        let weights = (0..count)
            .map(|_| rng.random_range(-1.0..1.0_f32))
            .collect::<Vec<_>>();
        let (query, key, hidden) = problem.tensors::<TestAutodiff>();
        let (query, key, hidden) = (
            query.require_grad(),
            key.require_grad(),
            hidden.require_grad(),
        );
        let output = refocus(problem.input((query.clone(), key.clone(), hidden.clone())));
        let data = TensorData::new(weights.clone(), [problem.objects.len(), problem.width]);
        let loss = (output * Tensor::from_data(data, &Default::default())).sum();
        let grads = loss.backward();

        let loss = |problem: &Problem| {
            problem
                .solve()
                .iter()
                .zip(&weights)
                .map(|(x, &w)| x * f64::from(w))
                .sum::<f64>()
        };
        type Values = fn(&mut Problem) -> &mut Vec<f64>;
        let values: [(&str, Values, Option<TensorData>); 3] = [
            (
                "query",
                |p| &mut p.query,
                query.grad(&grads).map(Tensor::into_data),
            ),
            (
                "key",
                |p| &mut p.key,
                key.grad(&grads).map(Tensor::into_data),
            ),
            (
                "hidden",
                |p| &mut p.hidden,
                hidden.grad(&grads).map(Tensor::into_data),
            ),
        ];
        let all_empty = problem
            .objects
            .iter()
            .all(|object| object.start == object.end);
        for (name, values, gradient) in values {
            let Some(gradient) = gradient else {
                assert!(all_empty && name != "hidden", "{name} has no gradient");
                continue;
            };
            for (index, gradient) in gradient.iter::<f64>().enumerate() {
                let centre = values(&mut problem)[index];
                let mut at = |value: f64| {
                    values(&mut problem)[index] = value;
                    loss(&problem)
                };
                let slope = (at(centre + 1e-5) - at(centre - 1e-5)) / 2e-5;
                at(centre);
                assert!(
                    (slope - gradient).abs() < 2e-5,
                    "{name}[{index}]: {gradient}, not {slope}"
                );
            }
        }
    }
}

#[test]
fn an_empty_span_leaves_the_state_unchanged() {
    let device = Default::default();
    let hidden = random::<TestAutodiff, 3>([2, 6, 5], 3, &device).require_grad();
    let object = |row, end| ObjectToken {
        row,
        position: 4,
        start: 2,
        end,
        context_start: 0,
    };
    for (objects, changed) in [
        (vec![object(0, 2), object(1, 2)], false),
        (vec![object(0, 2), object(1, 4)], true),
    ] {
        let query = random::<TestAutodiff, 3>([2, 2, 4], 1, &device).require_grad();
        let output = refocus(RefocusInput {
            query,
            key: random([2, 2, 6, 4], 2, &device),
            hidden: hidden.clone(),
            hidden_offset: 0,
            objects,
            lambda: 0.1,
        });
        let state = |row: usize| {
            hidden
                .clone()
                .slice([row..row + 1, 4..5, 0..5])
                .reshape([1, 5])
        };
        assert_close(&output.clone().narrow(0, 0, 1), &state(0), 0.0);
        let moved = (output.clone().narrow(0, 1, 1) - state(1))
            .abs()
            .max()
            .into_scalar();
        assert_eq!(moved > 1e-4, changed);
        let gradient = hidden.grad(&output.sum().backward()).expect("a gradient");
        assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
    }
}

/// Scores of ±1e4: a softmax of differences below f32's range.
#[test]
fn large_scores_stay_finite_and_exact() {
    let mut rng = StdRng::seed_from_u64(4);
    for sign in [1.0, -1.0] {
        for _ in 0..20 {
            let mut problem = Problem::random(&mut rng);
            // Whole numbers, so that f32 scores carry no error that f64 ones lack.
            problem.head_dim = 4;
            let [queries, keys] = [
                problem.objects.len() * problem.heads * 4,
                problem.batch * problem.kv_heads * problem.keys * 4,
            ];
            problem.query = (0..queries)
                .map(|_| sign * f64::from(rng.random_range(-100..=100)))
                .collect();
            problem.key = (0..keys)
                .map(|_| f64::from(rng.random_range(-100..=100)))
                .collect();
            let (query, key, hidden) = problem.tensors::<TestAutodiff>();
            let (query, key) = (query.require_grad(), key.require_grad());
            let output = refocus(problem.input((query.clone(), key.clone(), hidden)));
            assert_close(&output, &problem.expected(), 1e-4);
            let grads = output.sum().backward();
            for gradient in [
                query.grad(&grads).map(Tensor::into_data),
                key.grad(&grads).map(Tensor::into_data),
            ] {
                let finite = gradient.is_none_or(|g| g.iter::<f32>().all(f32::is_finite));
                assert!(finite, "a gradient is not finite");
            }
        }
    }
}

#[test]
fn padding_on_the_left_does_not_count() {
    let device = Default::default();
    let key = random::<TestBackend, 4>([1, 2, 6, 4], 2, &device);
    let hidden = random::<TestBackend, 3>([1, 6, 5], 3, &device);
    let query = random::<TestBackend, 3>([1, 4, 4], 1, &device);
    let run = |pad: usize| {
        let zeros = Tensor::full([1, 2, pad, 4], 9.0, &device);
        let key = Tensor::cat(vec![zeros, key.clone()], 2);
        let hidden = Tensor::cat(
            vec![Tensor::full([1, pad, 5], 9.0, &device), hidden.clone()],
            1,
        );
        let object = ObjectToken {
            row: 0,
            position: pad + 5,
            start: pad + 1,
            end: pad + 4,
            context_start: pad,
        };
        refocus(RefocusInput {
            query: query.clone(),
            key,
            hidden,
            hidden_offset: 0,
            objects: vec![object],
            lambda: 0.5,
        })
    };
    assert_close(&run(3), &run(1), 1e-6);
}

#[test]
fn half_precision_is_formed_in_f32() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut problem = Problem::random(&mut rng);
    let round = |value: &mut f64| *value = half(*value);
    problem.query.iter_mut().for_each(round);
    problem.key.iter_mut().for_each(round);
    problem.hidden.iter_mut().for_each(round);
    let (query, key, hidden) = problem.tensors::<TestBackend>();
    let half = (
        query.cast(DType::F16),
        key.cast(DType::F16),
        hidden.cast(DType::F16),
    );
    let output = refocus(problem.input(half));
    assert_eq!(output.dtype(), DType::F16);
    assert_close(&output.cast(DType::F32), &problem.expected(), 2e-3);
}

/// To a value that f16 holds.
fn half(value: f64) -> f64 {
    (value * 256.0).round() / 256.0
}

#[test]
fn no_object_gives_no_state() {
    let device = Default::default();
    let output = refocus(RefocusInput::<TestBackend> {
        query: Tensor::empty([0, 2, 4], &device),
        key: random([1, 2, 6, 4], 2, &device),
        hidden: random([1, 6, 5], 3, &device),
        hidden_offset: 0,
        objects: vec![],
        lambda: 0.1,
    });
    assert_eq!(output.dims(), [0, 5]);
}
