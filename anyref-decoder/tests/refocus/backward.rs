//! Gradients of refocusing.

use anyref_decoder::refocus::{RefocusBackend, RefocusInput, reference, refocus};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive, backend::Backend};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::problem::{Problem, assert_near, numbers};

/// Form of refocusing.
type Form<B> = fn(RefocusInput<B>) -> Tensor<B, 2>;

/// Gradients of query, key and hidden states; empty for an argument outside the graph.
fn gradients<B: Backend, C: CheckpointStrategy>(
    problem: &Problem,
    weights: &[f32],
    refocus: Form<Autodiff<B, C>>,
) -> [Vec<f64>; 3] {
    let (query, key, hidden) = problem.tensors::<Autodiff<B, C>>();
    let query = query.require_grad();
    let key = key.require_grad();
    let hidden = hidden.require_grad();
    let output = refocus(problem.input((query.clone(), key.clone(), hidden.clone())));
    let data = TensorData::new(weights.to_vec(), [problem.objects.len(), problem.width]);
    let grads = (output * Tensor::from_data(data, &Default::default()))
        .sum()
        .backward();
    [
        query.grad(&grads).map(numbers).unwrap_or_default(),
        key.grad(&grads).map(numbers).unwrap_or_default(),
        hidden.grad(&grads).map(numbers).unwrap_or_default(),
    ]
}

fn weights(rng: &mut StdRng, problem: &Problem) -> Vec<f32> {
    (0..problem.objects.len() * problem.width)
        .map(|_| rng.random_range(-1.0..1.0_f32))
        .collect()
}

pub fn gradients_are_finite_differences_of_the_definition<B: Backend>(cases: usize) {
    let mut rng = StdRng::seed_from_u64(2);
    for _ in 0..cases {
        let mut problem = Problem::random(&mut rng);
        let weights = weights(&mut rng, &problem);
        let gradients = gradients::<B, NoCheckpointing>(&problem, &weights, refocus);
        let loss = |problem: &Problem| {
            let states = problem.solve();
            let terms = states.iter().zip(&weights).map(|(x, &w)| x * f64::from(w));
            terms.sum::<f64>()
        };
        type Values = fn(&mut Problem) -> &mut Vec<f64>;
        let values: [(&str, Values); 3] = [
            ("query", |p| &mut p.query),
            ("key", |p| &mut p.key),
            ("hidden", |p| &mut p.hidden),
        ];
        for ((name, values), gradient) in values.into_iter().zip(gradients) {
            assert_eq!(gradient.len(), values(&mut problem).len(), "{name}");
            for (index, gradient) in gradient.into_iter().enumerate() {
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

pub fn gradients_are_those_of_the_composed_form<B: Backend>(cases: usize) {
    type Composed = burn_flex::Flex;
    let mut rng = StdRng::seed_from_u64(3);
    let mut problems = (0..cases)
        .map(|_| Problem::random(&mut rng))
        .collect::<Vec<_>>();
    for sizes in [
        [1, 4, 8, 64, 1500, 200, 2],
        [2, 1, 20, 33, 300, 67, 5],
        [3, 2, 2, 128, 257, 256, 40],
        [1, 1, 2, 16, 32_768, 8, 2],
        [2, 1, 3, 1, 40, 3, 3],
        [1, 2, 2, 257, 70, 16, 2],
    ] {
        problems.push(Problem::sized(&mut rng, sizes));
    }
    for problem in problems {
        let weights = weights(&mut rng, &problem);
        let expected =
            gradients::<Composed, NoCheckpointing>(&problem, &weights, reference::refocus);
        let balanced = gradients::<B, BalancedCheckpointing>(&problem, &weights, refocus);
        for (actual, mut expected) in balanced.iter().zip(expected) {
            // Without any span the composed form has no gradient of queries and keys.
            expected.resize(actual.len(), 0.0);
            assert_near(actual, &expected, 2e-5);
        }
    }
}

pub fn every_run_gives_the_same_bits<B: Backend>() {
    let mut rng = StdRng::seed_from_u64(8);
    let problem = Problem::sized(&mut rng, [2, 2, 6, 16, 400, 40, 7]);
    let weights = weights(&mut rng, &problem);
    let run = || {
        let states = numbers(refocus(problem.input(problem.tensors::<B>())));
        let gradients = gradients::<B, NoCheckpointing>(&problem, &weights, refocus);
        (states, gradients)
    };
    let first = run();
    for _ in 0..3 {
        assert!(run() == first, "two runs differ");
    }
}

pub fn gradients_come_in_the_types_of_the_arguments<B: Backend>() {
    let mut rng = StdRng::seed_from_u64(9);
    let problem = Problem::sized(&mut rng, [2, 2, 4, 8, 30, 8, 3]).rounded();
    let ones = vec![1.0; problem.objects.len() * problem.width];
    let expected = gradients::<B, NoCheckpointing>(&problem, &ones, refocus);
    for (dtype, tolerance) in [(DType::F16, 1e-2), (DType::BF16, 5e-2)] {
        if !B::supports_dtype(&Default::default(), dtype) {
            continue;
        }
        let (query, key, hidden) = problem.tensors::<Autodiff<B>>();
        let query = query.cast(dtype).detach().require_grad();
        let key = key.cast(dtype).detach().require_grad();
        let hidden = hidden.cast(dtype).detach().require_grad();
        let output = refocus(problem.input((query.clone(), key.clone(), hidden.clone())));
        let grads = output.cast(DType::F32).sum().backward();
        let query = query.grad(&grads).expect("a gradient");
        let key = key.grad(&grads).expect("a gradient");
        let hidden = hidden.grad(&grads).expect("a gradient");
        assert_eq!([query.dtype(), key.dtype(), hidden.dtype()], [dtype; 3]);
        assert_near(&numbers(query.cast(DType::F32)), &expected[0], tolerance);
        assert_near(&numbers(key.cast(DType::F32)), &expected[1], tolerance);
        assert_near(&numbers(hidden.cast(DType::F32)), &expected[2], tolerance);

        // Arguments and their gradients have different types.
        let (query, key, hidden) = problem.tensors::<Autodiff<B>>();
        let query = query.require_grad();
        let key = key.cast(dtype).detach().require_grad();
        let hidden = hidden.require_grad();
        let output = refocus(problem.input((query.clone(), key.clone(), hidden.clone())));
        let grads = output.sum().backward();
        let query = query.grad(&grads).expect("a gradient");
        let key = key.grad(&grads).expect("a gradient");
        let hidden = hidden.grad(&grads).expect("a gradient");
        let types = [query.dtype(), key.dtype(), hidden.dtype()];
        assert_eq!(types, [DType::F32, dtype, DType::F32]);
        assert_near(&numbers(query), &expected[0], 2e-5);
        assert_near(&numbers(key.cast(DType::F32)), &expected[1], tolerance);
        assert_near(&numbers(hidden), &expected[2], 2e-5);
    }
}

/// Combines refocusing with other operations, arguments used elsewhere too, and two calls in one
/// graph.
pub fn takes_part_in_longer_computations<B: Backend>() {
    fn loss<B: Backend>(
        problem: &Problem,
        refocus: Form<B>,
        leaves: (Tensor<B, 3>, Tensor<B, 4>, Tensor<B, 3>),
    ) -> Tensor<B, 1> {
        let (query, key, hidden) = leaves;
        let hidden = (hidden * 0.5).tanh();
        let once = refocus(problem.input((query.clone() * 2.0, key.clone(), hidden.clone())));
        let twice = refocus(problem.input((query, key.exp(), hidden.clone().powi_scalar(2))));
        (once * twice.sin()).sum() + hidden.sum()
    }
    fn run<B: Backend>(problem: &Problem, refocus: Form<Autodiff<B>>) -> [Vec<f64>; 4] {
        let (query, key, hidden) = problem.tensors::<Autodiff<B>>();
        let query = query.require_grad();
        let key = key.require_grad();
        let hidden = hidden.require_grad();
        let loss = loss(
            problem,
            refocus,
            (query.clone(), key.clone(), hidden.clone()),
        );
        let grads = loss.backward();
        [
            numbers(loss),
            numbers(query.grad(&grads).expect("a gradient")),
            numbers(key.grad(&grads).expect("a gradient")),
            numbers(hidden.grad(&grads).expect("a gradient")),
        ]
    }
    let mut rng = StdRng::seed_from_u64(10);
    let problem = Problem::sized(&mut rng, [2, 2, 4, 8, 30, 8, 3]);
    let actual = run::<B>(&problem, refocus);
    let expected = run::<burn_flex::Flex>(&problem, reference::refocus);
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_near(actual, expected, 1e-4);
    }
}

pub fn an_empty_implementation_is_the_composed_form() {
    // Autodiff has no backward pass of its own, so the trait's is used.
    type Outer = Autodiff<burn_flex::Flex>;
    let mut rng = StdRng::seed_from_u64(11);
    for _ in 0..10 {
        let problem = Problem::random(&mut rng);
        let weights = weights(&mut rng, &problem);
        let expected = gradients::<burn_flex::Flex, NoCheckpointing>(&problem, &weights, refocus);
        let (query, key, hidden) = problem.tensors::<Outer>();
        let (query, key, hidden, objects) = problem.input((query, key, hidden)).split();
        let data = TensorData::new(weights, [problem.objects.len(), problem.width]);
        let gradient = Tensor::<Outer, 2>::from_data(data, &Default::default());
        let gradients = Outer::refocus_backward(
            query.into_primitive().tensor(),
            key.into_primitive().tensor(),
            hidden.into_primitive().tensor(),
            objects,
            gradient.into_primitive().tensor(),
        );
        for (actual, expected) in [
            (gradients.query, &expected[0]),
            (gradients.key, &expected[1]),
            (gradients.hidden, &expected[2]),
        ] {
            let actual = Tensor::<Outer, 1>::from_primitive(TensorPrimitive::Float(actual));
            assert_near(&numbers(actual), expected, 2e-5);
        }
    }
}
