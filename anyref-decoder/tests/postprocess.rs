//! Post-processing compared with torch's two interpolations.

use anyref_decoder::postprocess_masks;
use anyref_ops::testing::{assert_close, random};
use anyref_weights::testing::Fixture;
use burn::backend::Autodiff;
use burn::tensor::Tensor;

type TestBackend = burn_flex::Flex;

fn fixture() -> Fixture {
    Fixture::open(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/postprocess.safetensors"
    ))
}

#[test]
fn logits_are_those_of_two_interpolations() {
    let (fixture, device) = (fixture(), Default::default());
    for (name, image, input, original) in [
        ("shrink", 96, [96, 64], [57, 38]),
        ("grow", 96, [71, 96], [103, 140]),
        ("same", 96, [96, 96], [96, 96]),
        ("pixel", 32, [1, 32], [1, 3]),
    ] {
        let low: Tensor<TestBackend, 4> = fixture.tensor(&format!("{name}.low"), &device);
        let masks = postprocess_masks(low, input, original, image);
        assert_close(
            &masks,
            &fixture.tensor(&format!("{name}.masks"), &device),
            1e-4,
        );
    }
}

#[test]
fn a_real_size_agrees() {
    let (fixture, device) = (fixture(), Default::default());
    let low: Tensor<TestBackend, 4> = fixture.tensor("real.low", &device);
    let masks = postprocess_masks(low, [683, 1024], [427, 640], 1024);
    let expected: Tensor<TestBackend, 4> = fixture.tensor("real.masks", &device);
    let [_, _, height, width] = expected.dims();
    let every = |step: i64, count: usize| {
        let places = (0..count as i64).map(|i| i * step).collect::<Vec<_>>();
        Tensor::from_data(burn::tensor::TensorData::new(places, [count]), &device)
    };
    let masks = masks
        .select(2, every(11, height))
        .select(3, every(13, width));
    assert_close(&masks, &expected, 1e-4);
}

#[test]
fn gradients_reach_the_low_resolution() {
    let device = Default::default();
    let low = random::<Autodiff<TestBackend>, 4>([1, 2, 8, 8], 1, &device).require_grad();
    let masks = postprocess_masks(low.clone(), [24, 32], [15, 20], 32);
    let gradient = low.grad(&masks.sum().backward()).expect("a gradient");
    // Each output is a weighted mean, so the weights sum to the number of outputs.
    let total = gradient.sum().into_scalar();
    assert!((total - 600.0).abs() < 1e-2, "{total}");
}

#[test]
fn groups_of_masks_give_the_logits_of_all_together() {
    let (count, image, input, original) = (7, 128, [96, 128], [150, 200]);
    let low = random::<TestBackend, 4>([count, 1, 32, 32], 3, &Default::default());
    let whole = postprocess_masks(low.clone(), input, original, image).into_data();
    for together in [1, 2, 3] {
        let groups = (0..count).step_by(together).map(|first| {
            let group = low.clone().narrow(0, first, together.min(count - first));
            postprocess_masks(group, input, original, image)
        });
        let groups = Tensor::cat(groups.collect(), 0).into_data();
        assert_eq!(groups, whole, "groups of {together}");
    }
}
