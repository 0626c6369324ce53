//! Refocused states.

use anyref_decoder::refocus::{ObjectToken, RefocusInput, has_own_form, refocus};
use anyref_ops::testing::random;
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::BalancedCheckpointing;
use burn::tensor::{DType, Tensor, backend::Backend};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::problem::{Problem, assert_near, numbers};

fn states<B: Backend>(problem: &Problem) -> Vec<f64> {
    numbers(refocus(problem.input(problem.tensors::<B>())))
}

pub fn has_a_form_of_its_own<B: Backend>() {
    assert!(has_own_form::<B>());
    assert!(has_own_form::<Autodiff<B>>());
    assert!(has_own_form::<Autodiff<B, BalancedCheckpointing>>());
}

pub fn states_are_those_of_the_definition<B: Backend>(cases: usize) {
    let mut rng = StdRng::seed_from_u64(0);
    for _ in 0..cases {
        let problem = Problem::random(&mut rng);
        assert_near(&states::<B>(&problem), &problem.solve(), 2e-5);
    }
}

/// One object for each row, in order: the case in which nothing is gathered.
pub fn one_object_a_row_is_the_definition_too<B: Backend>(cases: usize) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut seen = 0;
    while seen < cases {
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
        assert_near(&states::<B>(&problem), &problem.solve(), 2e-5);
        seen += 1;
    }
}

/// Exceeds a tile, a chunk and a group of columns; head widths that vectors divide and that they do
/// not.
pub fn long_contexts_and_wide_states_are_the_definition_too<B: Backend>() {
    let mut rng = StdRng::seed_from_u64(7);
    for sizes in [
        [1, 4, 8, 64, 2900, 300, 2],
        [2, 1, 20, 33, 700, 67, 5],
        [3, 2, 2, 128, 257, 1024, 40],
        [1, 8, 8, 5, 129, 1, 1],
        // Heads of one component, and heads wider than the threads of a group.
        [2, 1, 3, 1, 40, 3, 3],
        [1, 1, 2, 256, 70, 16, 2],
        [1, 2, 2, 257, 70, 16, 2],
    ] {
        let problem = Problem::sized(&mut rng, sizes);
        assert_near(&states::<B>(&problem), &problem.solve(), 2e-5);
    }
}

pub fn an_empty_span_leaves_the_state_unchanged<B: Backend>() {
    let device = Default::default();
    let hidden = random::<Autodiff<B>, 3>([2, 6, 5], 3, &device).require_grad();
    let object = |row, start, end| ObjectToken {
        row,
        position: 4,
        start,
        end,
        context_start: 0,
    };
    for (objects, changed) in [
        (vec![object(0, 2, 2), object(1, 2, 2)], false),
        (vec![object(0, 5, 3), object(1, 6, 2)], false),
        (vec![object(0, 2, 2), object(1, 2, 4)], true),
    ] {
        let query = random::<Autodiff<B>, 3>([2, 2, 4], 1, &device).require_grad();
        let output = refocus(RefocusInput {
            query: query.clone(),
            key: random([2, 2, 6, 4], 2, &device),
            hidden: hidden.clone(),
            hidden_offset: 0,
            objects,
            lambda: 0.1,
        });
        let state = |row: usize| {
            let state = hidden.clone().slice([row..row + 1, 4..5, 0..5]);
            numbers(state)
        };
        assert_near(&numbers(output.clone().narrow(0, 0, 1)), &state(0), 0.0);
        let other = numbers(output.clone().narrow(0, 1, 1));
        let moved = other.iter().zip(state(1)).map(|(a, b)| (a - b).abs());
        assert_eq!(moved.fold(0.0, f64::max) > 1e-4, changed);

        let grads = output.sum().backward();
        let gradient = numbers(hidden.grad(&grads).expect("a gradient"));
        assert!(gradient.iter().all(|slope| slope.is_finite()));
        let query = query.grad(&grads).map(numbers).unwrap_or_default();
        assert!(query.iter().take(8).all(|&slope| slope == 0.0), "{query:?}");
    }
}

/// Scores of ±1e4 in every type: a softmax of differences below f32's range.
pub fn large_scores_stay_finite_and_exact<B: Backend>(cases: usize) {
    let mut rng = StdRng::seed_from_u64(4);
    for sign in [1.0, -1.0] {
        for _ in 0..cases {
            let mut problem = Problem::random(&mut rng).rounded();
            // Integers, so that f32 scores are as exact as f64 ones; half types hold them too.
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
            let (query, key, hidden) = problem.tensors::<Autodiff<B>>();
            let (query, key) = (query.require_grad(), key.require_grad());
            let output = refocus(problem.input((query.clone(), key.clone(), hidden)));
            assert_near(&numbers(output.clone()), &problem.solve(), 1e-4);
            let grads = output.sum().backward();
            for gradient in [
                query.grad(&grads).map(numbers),
                key.grad(&grads).map(numbers),
            ] {
                let finite = gradient.is_none_or(|g| g.iter().all(|slope| slope.is_finite()));
                assert!(finite, "a gradient is not finite");
            }
            for (dtype, tolerance) in [(DType::F16, 2e-3), (DType::BF16, 2e-2)] {
                if B::supports_dtype(&Default::default(), dtype) {
                    let (query, key, hidden) = problem.tensors::<Autodiff<B>>();
                    let query = query.cast(dtype).detach().require_grad();
                    let cast = (query.clone(), key.cast(dtype), hidden.cast(dtype));
                    let output = refocus(problem.input(cast)).cast(DType::F32);
                    assert_near(&numbers(output.clone()), &problem.solve(), tolerance);
                    let grads = output.sum().backward();
                    let gradient = query.grad(&grads).map(|x| numbers(x.cast(DType::F32)));
                    let finite = gradient.map(|g| g.iter().all(|slope| slope.is_finite()));
                    let spans = problem
                        .objects
                        .iter()
                        .any(|object| object.start < object.end);
                    let finite = finite.unwrap_or(!spans);
                    assert!(finite, "a gradient is missing or not finite");
                }
            }
        }
    }
}

pub fn padding_on_the_left_does_not_count<B: Backend>() {
    let device = Default::default();
    let key = random::<B, 4>([1, 2, 6, 4], 2, &device);
    let hidden = random::<B, 3>([1, 6, 5], 3, &device);
    let query = random::<B, 3>([1, 4, 4], 1, &device);
    let run = |pad: usize| {
        let nines = Tensor::full([1, 2, pad, 4], 9.0, &device);
        let key = Tensor::cat(vec![nines, key.clone()], 2);
        let nines = Tensor::full([1, pad, 5], 9.0, &device);
        let object = ObjectToken {
            row: 0,
            position: pad + 5,
            start: pad + 1,
            end: pad + 4,
            context_start: pad,
        };
        numbers(refocus(RefocusInput {
            query: query.clone(),
            key,
            hidden: Tensor::cat(vec![nines, hidden.clone()], 1),
            hidden_offset: 0,
            objects: vec![object],
            lambda: 0.5,
        }))
    };
    assert_near(&run(3), &run(1), 1e-6);
}

pub fn other_types_are_formed_in_f32<B: Backend>() {
    let mut rng = StdRng::seed_from_u64(5);
    for sizes in [[2, 2, 6, 8, 20, 8, 3], [1, 2, 4, 64, 300, 48, 2]] {
        let problem = Problem::sized(&mut rng, sizes).rounded();
        for (dtype, tolerance) in [(DType::F16, 2e-3), (DType::BF16, 2e-2), (DType::F64, 2e-5)] {
            if !B::supports_dtype(&Default::default(), dtype) {
                continue;
            }
            let (query, key, hidden) = problem.tensors::<B>();
            let cast = (query.cast(dtype), key.cast(dtype), hidden.cast(dtype));
            let output = refocus(problem.input(cast));
            assert_eq!(output.dtype(), dtype);
            assert_near(
                &numbers(output.cast(DType::F32)),
                &problem.solve(),
                tolerance,
            );

            // Arguments have different types.
            let (query, key, hidden) = problem.tensors::<B>();
            let output = refocus(problem.input((query, key.cast(dtype), hidden)));
            assert_eq!(output.dtype(), DType::F32);
            assert_near(&numbers(output), &problem.solve(), 2e-5);
        }
    }
}

/// Longest contexts in every type: sums of that many exponentials and states lose nothing in f32.
pub fn the_longest_contexts_are_the_definition_in_every_type<B: Backend>() {
    let mut rng = StdRng::seed_from_u64(12);
    let length = 32_768;
    let mut problem = Problem::sized(&mut rng, [1, 2, 4, 16, length, 24, 3]).rounded();
    let object = |position, start, end| ObjectToken {
        row: 0,
        position,
        start,
        end,
        context_start: 0,
    };
    problem.objects = vec![
        object(length - 1, problem.offset, length - 1),
        object(length - 1, length - 9, length - 2),
        object(problem.offset + 40, problem.offset, problem.offset + 40),
    ];
    let expected = problem.solve();
    for (dtype, tolerance) in [(DType::F32, 2e-5), (DType::F16, 2e-3), (DType::BF16, 2e-2)] {
        if !B::supports_dtype(&Default::default(), dtype) {
            continue;
        }
        let (query, key, hidden) = problem.tensors::<B>();
        let cast = (query.cast(dtype), key.cast(dtype), hidden.cast(dtype));
        let output = refocus(problem.input(cast)).cast(DType::F32);
        assert_near(&numbers(output), &expected, tolerance);
    }
}

/// Keys in attention's layout, `[b, T, heads, d]` viewed as `[b, heads, T, d]`, and columns of
/// wider states.
pub fn permuted_arguments_give_the_same<B: Backend>() {
    let mut rng = StdRng::seed_from_u64(6);
    for sizes in [[2, 3, 6, 8, 20, 8, 3], [3, 2, 2, 5, 33, 7, 4]] {
        let problem = Problem::sized(&mut rng, sizes);
        let (query, key, hidden) = problem.tensors::<B>();
        let expected = problem.solve();
        // The product keeps the permuted layout from being undone.
        let key_in_place = key.clone().swap_dims(1, 2) * 1.0;
        let hidden_in_place = hidden.clone().swap_dims(1, 2) * 1.0;
        let query_in_place = query.clone().swap_dims(0, 2) * 1.0;
        let arguments = (
            query_in_place.swap_dims(0, 2),
            key_in_place.swap_dims(1, 2),
            hidden_in_place.swap_dims(1, 2),
        );
        assert_near(&numbers(refocus(problem.input(arguments))), &expected, 2e-5);

        let wide = Tensor::cat(vec![hidden.clone(), hidden.clone()], 2);
        let width = problem.width;
        let arguments = (query.clone(), key.clone(), wide.narrow(2, width, width));
        assert_near(&numbers(refocus(problem.input(arguments))), &expected, 2e-5);

        // Keys of a cache with spare capacity, as in generation, and states with rows after them.
        let (keys, length) = (problem.keys, problem.keys - problem.offset);
        let roomy = Tensor::cat(vec![key.clone(), key * 9.0], 2);
        let longer = Tensor::cat(vec![hidden.clone(), hidden * 9.0], 1);
        let arguments = (query, roomy.narrow(2, 0, keys), longer.narrow(1, 0, length));
        assert_near(&numbers(refocus(problem.input(arguments))), &expected, 2e-5);
    }
}

pub fn no_object_gives_no_state<B: Backend>() {
    let device = Default::default();
    let output = refocus(RefocusInput::<B> {
        query: Tensor::empty([0, 2, 4], &device),
        key: random([1, 2, 6, 4], 2, &device),
        hidden: random([1, 6, 5], 3, &device),
        hidden_offset: 0,
        objects: vec![],
        lambda: 0.1,
    });
    assert_eq!(output.dims(), [0, 5]);
}
