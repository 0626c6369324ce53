use super::super::math::{erf, exp};
use super::super::simd::{Kernel, Portable, Simd, dispatch};
use super::super::{Activation, activation, swiglu};
use super::{TestAutodiff, TestBackend, TestBalanced, difference, random, values};
use crate::activation::composed;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, Tensor};
use burn_flex::Flex;

#[derive(Clone, Copy)]
struct Points<'a>(&'a [f32]);

impl Kernel for Points<'_> {
    type Output = Vec<(f32, f32)>;
    #[inline(always)]
    fn run<S: Simd>(self) -> Self::Output {
        self.0.iter().map(|&x| (exp::<S>(x), erf::<S>(x))).collect()
    }
}

/// Error function by its series, and by its asymptotic limit.
fn erf_f64(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut sum, mut term, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 * sum.abs().max(1e-300) && n < 400.0 {
        n += 1.0;
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / core::f64::consts::PI.sqrt()
}

#[test]
fn exp_and_erf_are_close_to_f64() {
    let xs: Vec<f32> = (-9000..9000).map(|i| i as f32 * 0.01).collect();
    for points in [dispatch(Points(&xs)), Points(&xs).run::<Portable>()] {
        for (&x, (e, f)) in xs.iter().zip(points) {
            let exact = f64::from(x).exp();
            if (-87.0..=88.0).contains(&x) {
                assert!((f64::from(e) / exact - 1.0).abs() < 3e-7, "exp({x}) = {e}");
            } else if x < -88.0 {
                assert_eq!(e, 0.0);
            }
            assert!(
                (f64::from(f) - erf_f64(f64::from(x))).abs() < 1e-6,
                "erf({x}) = {f}"
            );
        }
    }
    assert!(dispatch(Points(&[f32::NAN]))[0].0.is_nan());
    assert_eq!(dispatch(Points(&[f32::NEG_INFINITY]))[0].0, 0.0);
}

#[test]
fn gelu_is_exact_to_a_millionth() {
    let xs: Vec<f32> = (-4000..4000).map(|i| i as f32 * 0.005).collect();
    let x = Tensor::<TestBackend, 1>::from_floats(xs.as_slice(), &Default::default());
    let y = values(activation(x, Activation::Gelu).expect("fused"));
    for (x, y) in xs.into_iter().zip(y) {
        let x = f64::from(x);
        let exact = 0.5 * x * (1.0 + erf_f64(x * core::f64::consts::FRAC_1_SQRT_2));
        let bound = 1e-6 * x.abs().max(1.0);
        assert!(
            (f64::from(y) - exact).abs() < bound,
            "gelu({x}) = {y}, not {exact}"
        );
    }
}

type Composed<B> = fn(Tensor<B, 3>) -> Tensor<B, 3>;

fn check<B: AutodiffBackend<InnerBackend = Flex>>() {
    let cases: [(Activation, Composed<B>); 3] = [
        (Activation::Gelu, composed::gelu),
        (Activation::QuickGelu, composed::quick_gelu),
        (Activation::Silu, composed::silu),
    ];
    for (kind, composed) in cases {
        // Longer than a task, odd, and transposed.
        for shape in [[2, 131, 133], [1, 1, 1], [3, 5, 7]] {
            let x = random(shape, 1) * 3.0;
            let weight = Tensor::from_inner(random([shape[0], shape[2], shape[1]], 2));
            let run = |f: &dyn Fn(Tensor<B, 3>) -> Tensor<B, 3>| {
                let x = Tensor::<B, 3>::from_inner(x.clone()).require_grad();
                let y = f(x.clone().swap_dims(1, 2));
                let grads = (y.clone() * weight.clone()).sum().backward();
                (y.inner(), x.grad(&grads).expect("gradient"))
            };
            let (y, dx) = run(&|x| activation(x, kind).expect("fused"));
            let (y_composed, dx_composed) = run(&composed);
            assert!(difference(y, y_composed) < 5e-6, "{kind:?} {shape:?}");
            assert!(difference(dx, dx_composed) < 2e-5, "{kind:?} {shape:?}");
        }
    }
}

#[test]
fn activations_agree_with_the_composed_forms() {
    check::<TestAutodiff>();
    check::<TestBalanced>();
}

#[test]
fn swiglu_agrees_with_the_composed_form() {
    let (gate, up) = (
        random([37, 501], 3) * 2.0,
        random([501, 37], 4).swap_dims(0, 1),
    );
    let run = |fused: bool| {
        let gate = Tensor::<TestAutodiff, 2>::from_inner(gate.clone()).require_grad();
        let up = Tensor::<TestAutodiff, 2>::from_inner(up.clone()).require_grad();
        let y = if fused {
            swiglu(gate.clone(), up.clone()).expect("fused")
        } else {
            composed::silu(gate.clone()) * up.clone()
        };
        let grads = y.clone().powf_scalar(2.0).sum().backward();
        let grad = |x: Tensor<TestAutodiff, 2>| x.grad(&grads).expect("gradient");
        [y.inner(), grad(gate), grad(up)]
    };
    for (fused, composed) in run(true).into_iter().zip(run(false)) {
        assert!(difference(fused, composed) < 5e-4);
    }
}

#[test]
fn the_input_is_left_as_it_was() {
    let x = random([64, 65], 5);
    let before = values(x.clone());
    let _ = activation(x.clone(), Activation::Silu).expect("fused");
    let _ = swiglu(x.clone(), x.clone()).expect("fused");
    assert_eq!(values(x), before);
}

#[test]
fn other_types_take_the_composed_form() {
    let x = random([4, 4], 6).cast(DType::F16);
    assert!(activation(x.clone(), Activation::Gelu).is_err());
    assert_eq!(crate::gelu(x).dtype(), DType::F16);
}
