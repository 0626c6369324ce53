use super::super::{NormInput, norm};
use super::{TestAutodiff, TestBackend, TestBalanced, difference, random};
use crate::norm::composed;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use burn_flex::Flex;

const EPSILON: f64 = 1e-6;

fn check<B: AutodiffBackend<InnerBackend = Flex>>(shape: [usize; 3], centred: bool) {
    let [a, b, width] = shape;
    // Off centre, and not contiguous.
    let x = random([b, a, width], 1) * 2.0 + 0.7;
    let (gamma, beta) = (random([width], 2), random([width], 3));
    let weight = Tensor::<B, 3>::from_inner(random(shape, 4));
    let run = |fused: bool| {
        let x = Tensor::<B, 3>::from_inner(x.clone()).require_grad();
        let gamma = Tensor::<B, 1>::from_inner(gamma.clone()).require_grad();
        let beta = Tensor::<B, 1>::from_inner(beta.clone()).require_grad();
        let (rows, g, s) = (x.clone().swap_dims(0, 1), gamma.clone(), beta.clone());
        let y = match (fused, centred) {
            (true, _) => {
                let beta = centred.then_some(s);
                norm(NormInput {
                    x: rows,
                    gamma: g,
                    beta,
                    epsilon: EPSILON,
                })
                .expect("fused")
            }
            (false, true) => composed::layer_norm(rows, g, s, EPSILON),
            (false, false) => composed::rms_norm(rows, g, EPSILON),
        };
        let grads = (y.clone() * weight.clone()).sum().backward();
        let small = |x: Tensor<B, 1>| x.grad(&grads).map(|g| g.reshape([1, 1, width]));
        [Some(y.inner()), x.grad(&grads), small(gamma), small(beta)]
    };
    for (i, (fused, composed)) in run(true).into_iter().zip(run(false)).enumerate() {
        assert_eq!(fused.is_some(), composed.is_some());
        if let (Some(fused), Some(composed)) = (fused, composed) {
            let size = 1.0 + composed.clone().abs().max().into_scalar();
            let error = difference(fused, composed);
            assert!(
                error < 1e-5 * size,
                "{shape:?} {centred} part {i}: {error} of {size}"
            );
        }
    }
}

#[test]
fn norms_agree_with_the_composed_forms() {
    for shape in [[16, 64, 192], [3, 5, 7], [1, 1, 33], [2, 3, 1000]] {
        for centred in [true, false] {
            check::<TestAutodiff>(shape, centred);
            check::<TestBalanced>(shape, centred);
        }
    }
}

#[test]
fn inference_gives_what_training_gives() {
    let x = random([5, 48], 5);
    let (gamma, beta) = (random([48], 6), random([48], 7));
    let plain = crate::layer_norm(x.clone(), gamma.clone(), beta.clone(), EPSILON);
    let tracked = crate::layer_norm(
        Tensor::<TestAutodiff, 2>::from_inner(x.clone()),
        Tensor::from_inner(gamma.clone()),
        Tensor::from_inner(beta.clone()),
        EPSILON,
    );
    assert_eq!(difference(plain.clone(), tracked.inner()), 0.0);
    assert!(
        difference(
            plain,
            composed::layer_norm::<TestBackend, 2>(x, gamma, beta, EPSILON)
        ) < 1e-5
    );
}
