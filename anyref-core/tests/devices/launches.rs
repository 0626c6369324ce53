//! Kernels that parts of a model launch on a GPU, counted by CubeCL's log. Numbers do not depend on
//! sizes, as long as the same kernels serve them: widths here are those for which products need no
//! padding, as in published models. Where a product and what follows it are faster apart,
//! autotuning leaves them apart, so ceilings have a sixth of room: counted were 32, 31, 30, 25, 35,
//! 35 and 102.

use anyref_core::{AnyRefConfig, AnyRefModel};
use anyref_llm::LlamaInput;
use anyref_weights::with_stored_layout;
use burn::backend::{Autodiff, Vulkan};
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, Int, Tensor, TensorData};

use crate::counting::{self, launches};
use crate::training::Training;

type B = Vulkan;

fn normal<const D: usize>(shape: [usize; D]) -> Tensor<B, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Default::default())
}

/// Parts that launch more kernels than they may.
#[derive(Default)]
struct Excess(Vec<String>);

impl Excess {
    /// Prints the kernels that a part launches, and keeps the part if they are more than some.
    /// Returns their number.
    fn at_most(&mut self, most: usize, part: &str, run: impl FnMut()) -> usize {
        let launched = launches(run);
        println!("{part}: {}, at most {most}", launched.len());
        for (name, count) in counting::by_name(&launched) {
            println!("  {count:4} {name}");
        }
        if launched.len() > most {
            self.0.push(format!("{part}: {} > {most}", launched.len()));
        }
        launched.len()
    }
}

/// Reads the value of a part, so that it is computed.
fn compute<const D: usize>(tensor: Tensor<B, D>) {
    drop(tensor);
    B::sync(&Default::default()).expect("a device");
}

/// Configuration of the shipped model with wider layers, two of each part.
fn config() -> AnyRefConfig {
    let nano = include_str!("../../../assets/nano/config.json");
    let mut config: serde_json::Value = serde_json::from_str(nano).expect("JSON");
    for (part, fields) in [
        (
            "vision_tower",
            ["hidden_size", "intermediate_size", "num_hidden_layers"],
        ),
        (
            "image_encoder",
            ["hidden_size", "mlp_dim", "num_hidden_layers"],
        ),
        (
            "llm",
            ["hidden_size", "intermediate_size", "num_hidden_layers"],
        ),
    ] {
        for (field, value) in fields.into_iter().zip([256, 1024, 2]) {
            config[part][field] = value.into();
        }
    }
    // The first layer has windows, the second none.
    config["image_encoder"]["global_attn_indexes"] = serde_json::json!([1]);
    // The last layer of the tower is not used.
    config["vision_tower"]["num_hidden_layers"] = 3.into();
    config["llm"]["num_attention_heads"] = 2.into();
    config["llm"]["num_key_value_heads"] = 2.into();
    config["prompt_encoder"]["embed_dim"] = 256.into();
    config["image_encoder"]["output_channels"] = 256.into();
    config["mask_decoder"]["transformer_dim"] = 256.into();
    config["mask_decoder"]["mlp_dim"] = 2048.into();
    config["mask_decoder"]["iou_head_hidden_dim"] = 256.into();
    serde_json::from_value(config).expect("a configuration")
}

#[test]
#[ignore = "run alone: it counts all launches of the process"]
fn parts_launch_few_kernels() {
    counting::start();
    let device = Default::default();
    let mut excess = Excess::default();
    let model: AnyRefModel<B> = with_stored_layout(config().init(&device));

    let pixels = normal([1, 3, 192, 192]);
    excess.at_most(38, "CLIP, a picture", || {
        compute(model.picture_features(pixels.clone()).tokens);
    });

    let pixels = normal([1, 3, 256, 256]);
    excess.at_most(37, "SAM, a picture", || {
        compute(model.mask_branch().image_encoder.forward(pixels.clone()));
    });

    let layers = 2;
    let llama = &model.llm;
    let prompt = normal([1, 40, 256]);
    excess.at_most(36, "LLaMA, a prompt of 40", || {
        let mut cache = llama.new_cache();
        let input = LlamaInput::new(prompt.clone());
        compute(llama.forward(input, Some(&mut cache)).hidden);
    });

    let mut cache = llama.new_cache();
    let input = LlamaInput::new(prompt.clone());
    compute(llama.forward(input, Some(&mut cache)).hidden);
    excess.at_most(11 * layers + 5, "LLaMA, a token", || {
        let ids = TensorData::new(vec![7i64], [1, 1]);
        let ids = Tensor::<B, 2, Int>::from_data(ids, &device);
        let input = LlamaInput::new(llama.embed(ids));
        let hidden = llama.forward(input, Some(&mut cache)).hidden;
        let chosen = llama.logits(hidden).argmax(2);
        let _ = chosen.into_data();
    });

    let embeddings = normal([1, 256, 32, 32]);
    for (objects, most) in [(1, 40), (16, 40)] {
        let prompts = normal([objects, 256]);
        excess.at_most(most, &format!("mask decoder, {objects} objects"), || {
            let masks = model.decode_masks(embeddings.clone(), prompts.clone());
            compute(masks.low_res_masks);
        });
    }

    // Two fifths are products.
    let training = Training::<Autodiff<B>>::new();
    let step = || {
        let (loss, gradients) = training.step();
        drop(gradients);
        compute(loss.inner());
    };
    let count = excess.at_most(119, "LLaMA, loss and gradients", step);
    // The backend's type, which has 64-bit integers by default, has no kernels of this crate.
    let composed = Training::<Autodiff<Vulkan<f32, i64>>>::new();
    let composed = launches(|| {
        let (loss, gradients) = composed.step();
        drop(gradients);
        drop(loss.into_data());
        B::sync(&device).expect("a device");
    });
    println!("without kernels: {}", composed.len());
    assert!(2 * count < composed.len(), "{count}, {}", composed.len());
    assert!(excess.0.is_empty(), "{:?}", excess.0);
}
