//! Kernels that the parts of the shipped model launch on a GPU, counted by CubeCL's log. Numbers do
//! not depend on sizes, as long as the same kernels serve them.
#![cfg(feature = "vulkan")]
#![recursion_limit = "256"]

mod counting;

use std::path::Path;

use anyref_core::AnyRef;
use anyref_llm::LlamaInput;
use burn::backend::Vulkan;
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, Int, Tensor, TensorData};

use counting::launches;

type B = Vulkan;

fn normal<const D: usize>(shape: [usize; D]) -> Tensor<B, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Default::default())
}

/// Asserts that a part launches no more than some kernels, and prints which.
fn at_most(most: usize, part: &str, run: impl FnMut()) {
    let launched = launches::<B>(run);
    println!("{part}: {}, at most {most}", launched.len());
    for (name, count) in counting::by_name(&launched) {
        println!("  {count:4} {name}");
    }
    assert!(
        launched.len() <= most,
        "{part}: {} > {most}",
        launched.len()
    );
}

/// Reads the value of a part, so that it is computed.
fn compute<const D: usize>(tensor: Tensor<B, D>) {
    drop(tensor);
    B::sync(&Default::default()).expect("a device");
}

#[test]
fn parts_launch_few_kernels() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/nano");
    counting::start();
    let anyref = AnyRef::<B>::load(&folder, &Default::default()).unwrap();
    let model = &anyref.model;

    let layers = 5;
    let pixels = normal([1, 3, 192, 192]);
    at_most(12 * layers, "CLIP, a picture", || {
        compute(model.picture_features(pixels.clone()).tokens);
    });

    let layers = 6;
    let pixels = normal([1, 3, 256, 256]);
    at_most(20 * layers, "SAM, a picture", || {
        compute(model.mask_branch().image_encoder.forward(pixels.clone()));
    });

    let llama = &model.llm;
    let layers = 4;
    let prompt = normal([1, 40, 192]);
    at_most(14 * layers, "LLaMA, a prompt of 40", || {
        let mut cache = llama.new_cache();
        let input = LlamaInput::new(prompt.clone());
        compute(llama.forward(input, Some(&mut cache)).hidden);
    });

    let mut cache = llama.new_cache();
    let input = LlamaInput::new(prompt.clone());
    compute(llama.forward(input, Some(&mut cache)).hidden);
    at_most(12 * layers + 12, "LLaMA, a token", || {
        let ids = TensorData::new(vec![7i64], [1, 1]);
        let ids = Tensor::<B, 2, Int>::from_data(ids, &Default::default());
        let input = LlamaInput::new(llama.embed(ids));
        let hidden = llama.forward(input, Some(&mut cache)).hidden;
        let chosen = llama.logits(hidden).argmax(2);
        let _ = chosen.into_data();
    });

    let embeddings = normal([1, 128, 32, 32]);
    for objects in [1, 16] {
        let prompts = normal([objects, 128]);
        at_most(200, &format!("mask decoder, {objects} objects"), || {
            let masks = model.decode_masks(embeddings.clone(), prompts.clone());
            compute(masks.low_res_masks);
        });
    }
}
