//! Kernels on WebAssembly's vectors, compared bit for bit with the portable form.
//!
//! A module has no threads, files or arguments for the harness of tests, so these are exported, and
//! `anyref-server/tests/page/kernels.test.mjs` calls each of them.

use super::super::instruction_set::{InstructionSet, with};
use super::super::linear::widen;
use super::super::simd::{Kernel, Simd, dispatch};
use super::{TestAutodiff, TestBackend, random, values};
use crate::{
    Angles, AttentionInput, CacheType, CachedAttention, CachedRows, RelativePosition, attention,
    cached_attention, gelu, layer_norm, linear, permute, quick_gelu, rms_norm, rotary, silu,
    swiglu,
};
use burn::tensor::{DType, Tensor, bf16, f16};

/// Instruction set that a kernel is run on.
struct Used;

impl Kernel for Used {
    type Output = &'static str;
    #[inline(always)]
    fn run<S: Simd>(self) -> &'static str {
        core::any::type_name::<S>()
    }
}

/// Runs on both forms, and compares.
fn check(name: &str, run: impl Fn() -> Vec<f32>) {
    let bits = |set| {
        let values = with(set, &run);
        values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let (portable, wide) = (
        bits(InstructionSet::Portable),
        bits(InstructionSet::Simd128),
    );
    assert!(!portable.is_empty(), "{name}");
    let apart = portable.iter().zip(&wide).position(|(a, b)| a != b);
    assert_eq!((portable.len(), None), (wide.len(), apart), "{name}");
}

/// Checks an operation that has a gradient, with the gradients of its inputs.
fn check_with_gradients<const D: usize>(
    name: &str,
    inputs: &[Tensor<TestBackend, D>],
    run: impl Fn(&[Tensor<TestAutodiff, D>]) -> Tensor<TestAutodiff, D>,
) {
    check(name, || {
        let leaves: Vec<_> = inputs
            .iter()
            .map(|x| Tensor::<TestAutodiff, D>::from_inner(x.clone()).require_grad())
            .collect();
        let y = run(&leaves);
        let along = Tensor::from_inner(random(y.dims(), 9));
        let grads = (y.clone() * along).sum().backward();
        let mut all = values(y.inner());
        for leaf in &leaves {
            all.extend(values(leaf.grad(&grads).expect("a gradient")));
        }
        all
    });
}

/// Without a request, kernels run on the vectors that the module is compiled with.
#[unsafe(no_mangle)]
extern "C" fn kernels_run_on_the_modules_vectors() {
    assert!(dispatch(Used).ends_with("Simd128"), "{}", dispatch(Used));
    let portable = with(InstructionSet::Portable, || dispatch(Used));
    assert!(portable.ends_with("Portable"), "{portable}");
}

/// Every half, NaN and infinities among them.
#[unsafe(no_mangle)]
extern "C" fn kernels_widen_every_half() {
    let all = || 0..=u16::MAX;
    check("f16", || {
        let mut wide = vec![0.0; 1 << 16];
        widen(&all().map(f16::from_bits).collect::<Vec<_>>(), &mut wide);
        wide
    });
    check("bf16", || {
        let mut wide = vec![0.0; 1 << 16];
        widen(&all().map(bf16::from_bits).collect::<Vec<_>>(), &mut wide);
        wide
    });
}

/// Few and many rows, whole and partial vectors, in both orders of weights.
#[unsafe(no_mangle)]
extern "C" fn kernels_of_linear_layers() {
    for [rows, inputs, outputs] in [
        [1, 1, 1],
        [1, 1000, 131],
        [3, 17, 5],
        [4, 300, 66],
        [17, 256, 32],
        [29, 513, 130],
        [100, 48, 7],
        [490, 300, 41],
    ] {
        let (x, w, bias) = (
            random([rows, inputs], 1),
            random([inputs, outputs], 2),
            random([outputs], 3),
        );
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let by_outputs = w.clone().cast(dtype);
            let lines = by_outputs.clone().transpose().into_data();
            let lines = Tensor::<TestBackend, 2>::from_data(lines, (&Default::default(), dtype));
            for weight in [by_outputs, lines.transpose()] {
                check(&format!("{rows}x{inputs}x{outputs} {dtype:?}"), || {
                    values(linear(x.clone(), weight.clone(), Some(bias.clone())))
                });
            }
        }
    }
}

/// Plain, with relative positions, and causal, with their gradients.
#[unsafe(no_mangle)]
extern "C" fn kernels_of_attention() {
    for (queries, keys, side, causal) in [
        (13, 17, 0, false),
        (1, 70, 0, true),
        (49, 49, 7, false),
        (200, 300, 0, true),
    ] {
        let mut inputs = vec![
            random([2, queries, 4, 24], 1),
            random([2, keys, 4, 24], 2),
            random([2, keys, 4, 24], 3),
        ];
        if side > 0 {
            inputs.push(random([2, queries, 4, side], 4));
            inputs.push(random([2, queries, 4, side], 5));
        }
        check_with_gradients(&format!("{queries}x{keys}"), &inputs, |x| {
            let part = |i: usize| x[i].clone().swap_dims(1, 2);
            let position = (x.len() == 5).then(|| RelativePosition {
                height: part(3),
                width: part(4),
            });
            let input = AttentionInput::new(part(0), part(1), part(2));
            attention(input.with_relative_position(position).with_causal(causal))
        });
    }
}

/// Keys and values in each type of a cache.
#[unsafe(no_mangle)]
extern "C" fn kernels_of_cached_attention() {
    for (queries, keys) in [(1, 37), (3, 300), (200, 530)] {
        let query = random([1, 4, queries, 64], 1);
        for cache in [CacheType::F16, CacheType::Bf16, CacheType::Q8_0] {
            let [key, value] =
                [2, 3].map(|seed| CachedRows::new(random([1, 2, keys, 64], seed), cache));
            check(&format!("{queries}x{keys} {cache:?}"), || {
                values(cached_attention(CachedAttention {
                    query: query.clone(),
                    key: key.clone(),
                    value: value.clone(),
                    mask: None,
                    causal: true,
                }))
            });
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn kernels_of_norms() {
    let x = random([37, 100], 1);
    let (gamma, beta) = (random([100], 2), random([100], 3));
    let tracked = |x: &Tensor<TestBackend, 1>| Tensor::<TestAutodiff, 1>::from_inner(x.clone());
    let x = core::slice::from_ref(&x);
    check_with_gradients("layer", x, |x| {
        layer_norm(x[0].clone(), tracked(&gamma), tracked(&beta), 1e-6)
    });
    check_with_gradients("rms", x, |x| rms_norm(x[0].clone(), tracked(&gamma), 1e-6));
}

#[unsafe(no_mangle)]
extern "C" fn kernels_of_activations() {
    let x = random([9, 77], 1) * 6.0;
    let one = core::slice::from_ref(&x);
    check_with_gradients("gelu", one, |x| gelu(x[0].clone()));
    check_with_gradients("quick_gelu", one, |x| quick_gelu(x[0].clone()));
    check_with_gradients("silu", one, |x| silu(x[0].clone()));
    let both = [x.clone(), random([9, 77], 2)];
    check_with_gradients("swiglu", &both, |x| swiglu(x[0].clone(), x[1].clone()));
}

#[unsafe(no_mangle)]
extern "C" fn kernels_of_positions_and_permutations() {
    let x = random([2, 4, 11, 24], 1);
    let angles = random([1, 1, 11, 12], 2);
    let (cos, sin) = (angles.clone().cos(), angles.sin());
    let x = core::slice::from_ref(&x);
    check_with_gradients("rotary", x, |x| {
        let part = |x: &Tensor<TestBackend, 4>| Tensor::<TestAutodiff, 4>::from_inner(x.clone());
        rotary(x[0].clone(), &Angles::new(part(&cos), part(&sin)))
    });
    check_with_gradients("permute", x, |x| permute(x[0].clone(), [3, 1, 0, 2]));
}
