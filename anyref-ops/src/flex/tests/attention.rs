use super::super::attention as fused;
use super::{TestAutodiff, TestBackend, TestBalanced, difference, random, values};
use crate::attention::composed;
use crate::{AttentionInput, RelativePosition};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Bool, DType, Tensor, TensorData};
use burn_flex::Flex;

#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    head_dim: usize,
    value_dim: usize,
    /// Shape of the mask.
    mask: Option<[usize; 4]>,
    /// Rows of the grid of relative positions.
    rows: Option<usize>,
    causal: bool,
    scale: Option<f64>,
}

const PLAIN: Case = Case {
    batch: 2,
    heads: 4,
    kv_heads: 4,
    queries: 13,
    keys: 17,
    head_dim: 8,
    value_dim: 8,
    mask: None,
    rows: None,
    causal: false,
    scale: None,
};

/// Mask with some rows set completely.
fn mask<B: Backend>(shape: [usize; 4]) -> Tensor<B, 4, Bool> {
    let noise = values(random(shape, 77));
    let width = shape[3];
    let set: Vec<bool> = noise
        .iter()
        .enumerate()
        .map(|(i, &x)| x > 0.3 || (i / width) % 5 == 3)
        .collect();
    Tensor::from_data(TensorData::new(set, shape), &Default::default())
}

/// Query, key, value, height and width, as leaves whose transposes go into the attention.
fn leaves(case: &Case) -> Vec<Tensor<TestBackend, 4>> {
    let Case {
        batch,
        heads,
        kv_heads,
        queries,
        keys,
        head_dim,
        value_dim,
        ..
    } = *case;
    let mut leaves = vec![
        random([batch, queries, heads, head_dim], 1),
        random([batch, keys, kv_heads, head_dim], 2),
        random([batch, keys, kv_heads, value_dim], 3),
    ];
    if let Some(rows) = case.rows {
        leaves.push(random([batch, queries, heads, rows], 4));
        leaves.push(random([batch, queries, heads, keys / rows], 5));
    }
    leaves
}

fn input<B: Backend>(case: &Case, leaves: &[Tensor<B, 4>]) -> AttentionInput<B> {
    let part = |i: usize| leaves[i].clone().swap_dims(1, 2);
    let position = case.rows.map(|_| RelativePosition {
        height: part(3),
        width: part(4),
    });
    let mut input = AttentionInput::new(part(0), part(1), part(2))
        .with_mask(case.mask.map(mask))
        .with_relative_position(position)
        .with_causal(case.causal);
    input.scale = case.scale;
    input
}

type Attention<B> = fn(AttentionInput<B>) -> Tensor<B, 4>;

/// Output, and the gradients of a weighted sum of it.
fn run<B: AutodiffBackend<InnerBackend = Flex>>(
    case: &Case,
    attention: Attention<B>,
) -> Vec<Tensor<TestBackend, 4>> {
    let leaves: Vec<Tensor<B, 4>> = leaves(case)
        .into_iter()
        .map(|x| Tensor::from_inner(x).require_grad())
        .collect();
    let output = attention(input(case, &leaves));
    let weight = Tensor::from_inner(random(output.dims(), 9));
    let grads = (output.clone() * weight).sum().backward();
    let mut all = vec![output.inner()];
    all.extend(
        leaves
            .iter()
            .map(|leaf| leaf.grad(&grads).expect("gradient")),
    );
    all
}

fn take_fused<B: Backend>(input: AttentionInput<B>) -> Tensor<B, 4> {
    fused(input).expect("there is a fused form")
}

fn check(case: Case) {
    let expected = run::<TestAutodiff>(&case, composed);
    for got in [
        run::<TestAutodiff>(&case, take_fused),
        run::<TestBalanced>(&case, take_fused),
    ] {
        for (i, (got, expected)) in got.into_iter().zip(&expected).enumerate() {
            let size = 1.0 + expected.clone().abs().max().into_scalar();
            let error = difference(got, expected.clone());
            assert!(
                error < 1e-5 * size,
                "part {i} is off by {error} of {size}: {case:?}"
            );
        }
    }
    let plain = take_fused(input(&case, &leaves(&case)));
    assert!(difference(plain.clone(), expected[0].clone()) < 1e-5);
    // Rounded to eight bits where the processor multiplies bf16, and exact elsewhere.
    let rounded = take_fused(input(&case, &leaves(&case)).with_rounded(true));
    let error = difference(rounded, plain);
    let allowed = if multiplies_bf16() { 0.02 } else { 0.0 };
    assert!(error <= allowed, "rounded: off by {error}: {case:?}");
}

fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use super::super::instruction_set::InstructionSet;
        InstructionSet::current() == InstructionSet::Avx512Bf16
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Keys of several blocks and of an odd number, and queries of several tiles, rounded.
#[test]
fn rounded_products_of_many_queries() {
    for (queries, keys, rows) in [(257, 257, None), (400, 1001, None), (196, 196, Some(14))] {
        let case = Case {
            batch: 1,
            heads: 2,
            kv_heads: 2,
            queries,
            keys,
            head_dim: 64,
            value_dim: 64,
            rows,
            ..PLAIN
        };
        let exact = take_fused(input(&case, &leaves(&case)));
        let found = take_fused(input(&case, &leaves(&case)).with_rounded(true));
        let size = exact.clone().abs().max().into_scalar();
        let error = difference(found, exact);
        println!("{queries} queries, {keys} keys: {error} of {size}");
        match multiplies_bf16() {
            true => assert!(error > 0.0 && error < 0.01 * size, "{error} of {size}"),
            false => assert_eq!(error, 0.0),
        }
    }
}

#[test]
fn sizes() {
    for (queries, keys) in [
        (1, 1),
        (1, 40),
        (13, 17),
        (49, 49),
        (200, 300),
        (45, 345),
        (7, 600),
    ] {
        for (head_dim, value_dim) in [(8, 8), (5, 3), (48, 48), (33, 80)] {
            check(Case {
                queries,
                keys,
                head_dim,
                value_dim,
                heads: 2,
                kv_heads: 2,
                ..PLAIN
            });
        }
    }
    check(Case {
        scale: Some(0.3),
        ..PLAIN
    });
    // Few heads and many tiles: the heads are packed before.
    check(Case {
        batch: 1,
        heads: 2,
        kv_heads: 1,
        queries: 500,
        keys: 530,
        ..PLAIN
    });
}

#[test]
fn masks() {
    let (b, h, q, k) = (2, 4, 13, 600);
    for mask in [
        [b, h, q, k],
        [1, 1, q, k],
        [b, 1, 1, k],
        [1, h, q, 1],
        [b, 1, q, 1],
        [1, 1, 1, k],
        [1, 1, 1, 1],
    ] {
        check(Case {
            mask: Some(mask),
            keys: k,
            ..PLAIN
        });
        check(Case {
            mask: Some([mask[0], mask[1], mask[2], mask[3].min(17)]),
            ..PLAIN
        });
    }
}

#[test]
fn causal() {
    // A square, with a past, with queries that see nothing, in many blocks, and with a mask.
    for (queries, keys) in [(17, 17), (13, 40), (20, 9), (300, 700), (700, 600)] {
        check(Case {
            queries,
            keys,
            causal: true,
            heads: 2,
            kv_heads: 2,
            ..PLAIN
        });
        check(Case {
            queries,
            keys,
            causal: true,
            heads: 2,
            kv_heads: 2,
            mask: Some([2, 1, 1, keys]),
            ..PLAIN
        });
    }
}

#[test]
fn left_padding_under_a_causal_mask() {
    // The first queries see padding only; they attend to all keys alike, in later blocks too.
    let (queries, keys) = (600, 600);
    let padding: Vec<bool> = (0..keys).map(|k| k < 300).collect();
    let padding = TensorData::new(padding, [1, 1, 1, keys]);
    let case = Case {
        queries,
        keys,
        causal: true,
        batch: 1,
        heads: 1,
        kv_heads: 1,
        ..PLAIN
    };
    let leaves = leaves(&case);
    let input = |causal| {
        let mut input = input(&case, &leaves);
        input.mask = Some(Tensor::from_data(padding.clone(), &Default::default()));
        input.with_causal(causal)
    };
    assert!(difference(take_fused(input(true)), composed(input(true))) < 1e-5);
}

#[test]
fn grouped_heads() {
    for kv_heads in [1, 2, 4] {
        check(Case { kv_heads, ..PLAIN });
        check(Case {
            kv_heads,
            causal: true,
            mask: Some([2, 4, 13, 17]),
            ..PLAIN
        });
    }
}

#[test]
fn relative_positions() {
    for (rows, keys) in [(7, 49), (1, 17), (17, 17), (3, 900), (30, 900), (64, 320)] {
        check(Case {
            rows: Some(rows),
            keys,
            ..PLAIN
        });
    }
    check(Case {
        rows: Some(10),
        keys: 300,
        queries: 300,
        causal: true,
        mask: Some([2, 1, 300, 300]),
        ..PLAIN
    });
}

#[test]
fn gradients_agree_with_differences() {
    let case = Case {
        rows: Some(3),
        keys: 12,
        queries: 5,
        causal: true,
        kv_heads: 2,
        ..PLAIN
    };
    let grads = run::<TestAutodiff>(&case, take_fused);
    let leaves = leaves(&case);
    let weight = random(grads[0].dims(), 9);
    let step = 1e-2;
    for (i, leaf) in leaves.iter().enumerate() {
        // Along one random direction: the derivative of the whole.
        let direction = random(leaf.dims(), 40 + i as u64);
        let loss = |sign: f32| {
            let mut leaves = leaves.clone();
            leaves[i] = leaf.clone() + direction.clone() * (sign * step);
            let out = take_fused(input(&case, &leaves)) * weight.clone();
            values(out).iter().map(|&x| f64::from(x)).sum::<f64>()
        };
        let numeric = (loss(1.0) - loss(-1.0)) / (2.0 * f64::from(step));
        let analytic: f64 = values(grads[i + 1].clone() * direction.clone())
            .iter()
            .map(|&x| f64::from(x))
            .sum();
        let error = (numeric - analytic).abs();
        assert!(
            error < 2e-2 * (1.0 + analytic.abs()),
            "leaf {i}: {numeric} against {analytic}"
        );
    }
}

#[test]
fn only_the_gradients_asked_for() {
    let leaves = leaves(&PLAIN);
    for wanted in 0..3 {
        let leaves: Vec<Tensor<TestAutodiff, 4>> = leaves
            .iter()
            .enumerate()
            .map(|(i, x)| Tensor::from_inner(x.clone()).set_require_grad(i == wanted))
            .collect();
        let run = |attention: Attention<TestAutodiff>| {
            let grads = attention(input(&PLAIN, &leaves))
                .powf_scalar(2.0)
                .sum()
                .backward();
            leaves[wanted].grad(&grads).expect("gradient")
        };
        assert!(difference(run(take_fused), run(composed)) < 1e-4);
    }
}

#[test]
fn nothing_leaks_from_one_head_to_another() {
    // Tasks reuse their buffers; a NaN must stay in its head.
    for case in [
        Case { batch: 40, ..PLAIN },
        Case {
            batch: 40,
            keys: 300,
            causal: true,
            ..PLAIN
        },
        Case {
            batch: 1,
            heads: 2,
            kv_heads: 2,
            queries: 400,
            keys: 300,
            ..PLAIN
        },
    ] {
        let clean = leaves(&case);
        let expected = take_fused(input(&case, &clean));
        let poisoned: Vec<_> = clean
            .iter()
            .map(|x| {
                let [batch, rows, heads, width] = x.dims();
                let mut all = values(x.clone());
                for b in (0..batch).step_by(2) {
                    for r in 0..rows {
                        all[(b * rows + r) * heads * width..][..width].fill(f32::NAN);
                    }
                }
                Tensor::<TestAutodiff, 4>::from_data(
                    TensorData::new(all, x.dims()),
                    &Default::default(),
                )
                .require_grad()
            })
            .collect();
        let output = take_fused(input(&case, &poisoned));
        let grads = output.clone().sum().backward();
        let heads = |b: usize| {
            if b.is_multiple_of(2) {
                1..case.heads
            } else {
                0..case.heads
            }
        };
        for b in 0..case.batch {
            let part = |x: Tensor<TestBackend, 4>| x.slice([b..b + 1, heads(b)]);
            assert!(difference(part(output.clone().inner()), part(expected.clone())) < 1e-6);
            for leaf in &poisoned {
                let grad = part(leaf.grad(&grads).expect("gradient").swap_dims(1, 2));
                assert!(values(grad).iter().all(|x| x.is_finite()), "{case:?}");
            }
        }
    }
}

#[test]
fn heads_are_joined_without_a_copy() {
    let output = take_fused(input(&PLAIN, &leaves(&PLAIN))).swap_dims(1, 2);
    let primitive = output.into_primitive().tensor();
    assert!(primitive.is_contiguous());
}

#[test]
fn other_inputs_take_the_composed_form() {
    let half = |x: Tensor<TestBackend, 4>| x.cast(DType::F16);
    let leaves: Vec<_> = leaves(&PLAIN).into_iter().map(half).collect();
    assert!(fused(input(&PLAIN, &leaves)).is_err());
    assert_eq!(crate::attention(input(&PLAIN, &leaves)).dtype(), DType::F16);
}
