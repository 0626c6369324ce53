//! Operations with an argument that rows share.

use super::super::{add_shared, rotary};
use super::{TestAutodiff, TestBalanced, difference, random};
use crate::rotary::{Angles, composed};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use burn_flex::Flex;

fn rotary_agrees<B: AutodiffBackend<InnerBackend = Flex>>() {
    for (shape, rows) in [([3, 2, 5, 8], 1), ([3, 2, 5, 8], 3), ([1, 4, 1, 6], 1)] {
        let [batch, heads, length, width] = shape;
        let angle = random([rows, 1, length, width / 2], 1) * 3.0;
        let angles = Angles::<B>::new(
            Tensor::from_inner(angle.clone().cos()),
            Tensor::from_inner(angle.sin()),
        );
        // As in attention: the heads of a position are adjacent in memory.
        let x = random([batch, length, heads, width], 2);
        let weight = Tensor::from_inner(random(shape, 3));
        let run = |turn: &dyn Fn(Tensor<B, 4>) -> Tensor<B, 4>| {
            let x = Tensor::<B, 4>::from_inner(x.clone()).require_grad();
            let y = turn(x.clone().swap_dims(1, 2));
            let grads = (y.clone() * weight.clone()).sum().backward();
            (y.inner(), x.grad(&grads).expect("gradient"))
        };
        let (y, dx) = run(&|x| rotary(x, &angles).expect("fused"));
        let (expected, expected_dx) = run(&|x| composed(x, &angles));
        assert!(difference(y, expected) < 1e-6, "{shape:?}");
        assert!(difference(dx, expected_dx) < 1e-6, "{shape:?}");
    }
}

#[test]
fn rotary_agrees_with_the_composed_form() {
    rotary_agrees::<TestAutodiff>();
    rotary_agrees::<TestBalanced>();
}

#[test]
fn turning_keeps_lengths_and_turns_back() {
    let x = random([2, 3, 4, 6], 4);
    let angle = random([1, 1, 4, 3], 5);
    let there = Angles::new(angle.clone().cos(), angle.clone().sin());
    let back = Angles::new(angle.clone().cos(), angle.sin().neg());
    let y = rotary(x.clone(), &there).expect("fused");
    let norm = |x: Tensor<Flex, 4>| x.powf_scalar(2.0).sum_dim(3);
    assert!(difference(norm(y.clone()), norm(x.clone())) < 1e-4);
    assert!(difference(rotary(y, &back).expect("fused"), x) < 1e-5);
}

fn sums_agree<B: AutodiffBackend<InnerBackend = Flex>>() {
    for (batch, rows, width) in [(2, 3, 5), (7, 83, 101)] {
        let x = random([batch, width, rows], 6);
        let shared = random([1, rows, width], 7);
        let weight = Tensor::from_inner(random([batch, rows, width], 8));
        let run = |fused: bool| {
            let x = Tensor::<B, 3>::from_inner(x.clone()).require_grad();
            let shared = Tensor::<B, 3>::from_inner(shared.clone()).require_grad();
            let (a, b) = (x.clone().swap_dims(1, 2), shared.clone());
            let y = match fused {
                true => add_shared(a, b).expect("fused"),
                false => a + b,
            };
            let grads = (y.clone() * weight.clone()).sum().backward();
            let dx = x.grad(&grads).expect("gradient");
            (y.inner(), dx, shared.grad(&grads).expect("gradient"))
        };
        let ((y, dx, ds), (expected, expected_dx, expected_ds)) = (run(true), run(false));
        assert!(difference(y, expected) < 1e-6);
        assert!(difference(dx, expected_dx) < 1e-6);
        assert!(difference(ds, expected_ds) < 1e-5);
    }
}

#[test]
fn shared_sums_agree_with_the_composed_form() {
    sums_agree::<TestAutodiff>();
    sums_agree::<TestBalanced>();
}

#[test]
fn what_is_not_shared_is_given_back() {
    let x = random([2, 3, 4], 9);
    assert!(add_shared(x.clone(), random([2, 3, 4], 10)).is_err());
    assert!(add_shared(x.clone(), random([1, 3, 1], 11)).is_err());
    let sum = crate::add_shared(x.clone(), random([1, 3, 1], 11));
    assert!(difference(sum, x + random([1, 3, 1], 11)) == 0.0);
}

/// Sums of contiguous tensors and of views, shared and alone, of few values and of many.
#[test]
fn tensors_of_one_shape_are_added() {
    for shape in [[1, 2, 3], [3, 70, 401]] {
        let (x, y) = (random(shape, 1), random(shape, 2));
        let expected = (x.clone() + y.clone()).to_data();
        assert_eq!(crate::add(x.clone(), y.clone()).to_data(), expected);
        let (alone, view) = (x.clone() * 1.0, y.clone().swap_dims(0, 2).swap_dims(0, 2));
        assert_eq!(crate::add(alone, view).to_data(), expected);
        let (view, alone) = (x.swap_dims(1, 2), y.swap_dims(1, 2) * 1.0);
        let sum = crate::add(view, alone).swap_dims(1, 2);
        assert_eq!(sum.to_data(), expected);
    }
}
