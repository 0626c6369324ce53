//! RoIAlign compared with torchvision, forward and gradient.

use anyref_ops::testing::assert_close;
use anyref_vision::roi_align::{RegionBox, RoiAlignConfig, roi_align};
use anyref_weights::testing::Fixture;
use burn::backend::Autodiff;
use burn::tensor::Tensor;

type TestBackend = burn_flex::Flex;

fn region(row: &[f32]) -> RegionBox {
    RegionBox {
        batch: row[0] as usize,
        x0: row[1],
        y0: row[2],
        x1: row[3],
        y1: row[4],
    }
}

#[test]
fn equals_torchvision() {
    let fixture = Fixture::open("tests/fixtures/roi_align.safetensors");
    let device = Default::default();
    let boxes = fixture.data("boxes").to_vec::<f32>().unwrap();
    let boxes: Vec<RegionBox> = boxes.chunks_exact(5).map(region).collect();
    let weight: Tensor<Autodiff<TestBackend>, 4> = fixture.tensor("weight", &device);
    let cases = [
        ("aligned", 1.0, None, true),
        ("legacy", 1.0, None, false),
        ("scaled", 0.4, None, true),
        ("sampled", 1.0, Some(3), true),
        ("sampled_legacy", 0.7, Some(2), false),
    ];
    for (name, spatial_scale, sampling_ratio, aligned) in cases {
        let config = RoiAlignConfig {
            output_size: [3, 4],
            spatial_scale,
            sampling_ratio,
            aligned,
        };
        let features: Tensor<Autodiff<TestBackend>, 4> = fixture.tensor("features", &device);
        let features = features.require_grad();
        let output = roi_align(features.clone(), &boxes, &config);
        let expected = fixture.tensor(&format!("{name}.output"), &device);
        assert_close(&output.clone().inner(), &expected, 1e-5);
        let gradients = (output * weight.clone()).sum().backward();
        let expected = fixture.tensor(&format!("{name}.gradient"), &device);
        assert_close(&features.grad(&gradients).unwrap(), &expected, 1e-5);
    }
}

#[test]
fn no_box_gives_an_empty_result() {
    let features = Tensor::<TestBackend, 4>::ones([1, 5, 4, 4], &Default::default());
    let output = roi_align(features, &[], &RoiAlignConfig::new([2, 3], 1.0));
    assert_eq!(output.dims(), [0, 5, 2, 3]);
}

#[test]
fn extreme_boxes_cost_no_time_and_give_no_nonsense() {
    let features = Tensor::<TestBackend, 4>::ones([1, 1, 4, 4], &Default::default());
    let config = RoiAlignConfig::new([2, 2], 1.0);
    let pool = |x0, y0, x1, y1| {
        let region = RegionBox {
            batch: 0,
            x0,
            y0,
            x1,
            y1,
        };
        let output = roi_align(features.clone(), &[region], &config);
        output.into_data().to_vec::<f32>().unwrap()
    };
    assert_eq!(pool(f32::NAN, 0.0, 1.0, 1.0), [0.0; 4]);
    assert_eq!(pool(0.0, 0.0, f32::INFINITY, 1.0), [0.0; 4]);
    for value in pool(-1e30, -1e30, 1e30, 1e30) {
        assert!((0.0..1e-3).contains(&value));
    }
    // Half of each bin lies on the grid, whose border extends one cell further.
    for value in pool(-20_000.0, -20_000.0, 20_000.0, 20_000.0) {
        assert!((0.0..1e-3).contains(&value));
    }
    for value in pool(0.5, 0.5, 3.5, 3.5) {
        assert!((value - 1.0).abs() < 1e-6);
    }
}

#[test]
fn a_large_box_counts_the_same_with_and_without_skipped_samples() {
    let features = Tensor::<TestBackend, 4>::ones([1, 1, 400, 1], &Default::default());
    let pool = |height: f32, ratio| {
        let config = RoiAlignConfig {
            sampling_ratio: ratio,
            ..RoiAlignConfig::new([1, 1], 1.0)
        };
        let region = RegionBox {
            batch: 0,
            x0: 0.0,
            y0: 0.0,
            x1: 1.0,
            y1: height,
        };
        roi_align(features.clone(), &[region], &config).into_scalar()
    };
    let share = 400.5 / 8000.0;
    assert!((pool(8000.0, None) - share).abs() < 1e-3);
    assert!((pool(8000.0, Some(4000)) - share).abs() < 1e-3);
}

#[test]
#[should_panic(expected = "box on picture 1 of a batch of 1")]
fn boxes_name_a_picture_of_the_batch() {
    let features = Tensor::<TestBackend, 4>::ones([1, 1, 4, 4], &Default::default());
    let region = RegionBox {
        batch: 1,
        x0: 0.0,
        y0: 0.0,
        x1: 1.0,
        y1: 1.0,
    };
    roi_align(features, &[region], &RoiAlignConfig::new([1, 1], 1.0));
}
