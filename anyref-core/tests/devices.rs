//! The shipped model's parts on the GPU against the same on the processor.
#![cfg(feature = "vulkan")]
#![recursion_limit = "256"]

use std::path::Path;

use anyref_core::AnyRef;
use anyref_weights::ops::matmul;
use burn::backend::{Flex, Vulkan};
use burn::tensor::{Distribution, Tensor};

type Device = burn::backend::wgpu::WgpuDevice;

fn on_vulkan<const D: usize>(x: &Tensor<Flex, D>) -> Tensor<Vulkan, D> {
    Tensor::from_data(x.to_data(), &Device::default())
}

fn normal<const D: usize>(shape: [usize; D]) -> Tensor<Flex, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Default::default())
}

/// The largest difference, as a part of the largest value.
fn difference<const D: usize>(found: Tensor<Vulkan, D>, expected: Tensor<Flex, D>) -> f32 {
    let found = Tensor::<Flex, D>::from_data(found.to_data(), &Default::default());
    let largest = expected.clone().abs().max().into_scalar();
    (found - expected).abs().max().into_scalar() / largest
}

/// Inner dimensions of every number of steps, odd ones among them, and shapes that get kernels with two
/// buffers.
#[test]
fn products_are_right_for_every_inner_dimension() {
    for inner in [4, 8, 12, 24, 40, 48, 136] {
        for [rows, columns] in [[6, 576], [576, 6]] {
            let (lhs, rhs) = (normal([8, rows, inner]), normal([8, columns, inner]));
            let found = matmul(on_vulkan(&lhs), on_vulkan(&rhs).swap_dims(1, 2));
            let error = difference(found, matmul(lhs, rhs.swap_dims(1, 2)));
            assert!(error < 1e-5, "{rows} x {inner} x {columns}: {error}");
        }
    }
}

#[test]
fn masks_are_decoded_as_on_the_processor() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/nano");
    let flex = AnyRef::<Flex>::load(&folder, &Default::default()).unwrap();
    let vulkan = AnyRef::<Vulkan>::load(&folder, &Device::default()).unwrap();
    let side = flex.config.image_encoder.grid_size();
    let width = flex.config.image_encoder.output_channels;
    for prompts in [1, 2] {
        let (embeddings, prompt) = (normal([1, width, side, side]), normal([prompts, width]));
        let found = vulkan
            .model
            .decode_masks(on_vulkan(&embeddings), on_vulkan(&prompt));
        let expected = flex.model.decode_masks(embeddings, prompt);
        let masks = difference(found.low_res_masks, expected.low_res_masks);
        let iou = difference(found.iou_predictions, expected.iou_predictions);
        println!("{prompts} prompts: masks {masks}, IoU {iou}");
        assert!(masks < 1e-4 && iou < 1e-4, "masks {masks}, IoU {iou}");
    }
}
