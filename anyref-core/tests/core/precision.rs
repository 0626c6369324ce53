//! Models with weights, or weights and values, in half precision.

use std::path::Path;

use anyref_core::{Answer, AnyRef, AnyRefConfig, ModelOptions, Prompt, Reference};
use anyref_llm::Tokenizer;
use anyref_vision::preprocess::open_image;
use anyref_weights::{Checkpoint, LoadOptions, WeightType, load_module};
use burn::tensor::{DType, Int, Tensor};

use crate::common::TestBackend;

fn nano() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/nano")
}

fn ask(anyref: &AnyRef<TestBackend>) -> Answer {
    let scene = nano().join("../demo/scene1.jpg");
    let picture = anyref.picture(&open_image(scene).unwrap()).unwrap();
    let asked = Prompt::new([Reference::Text("the gorilla".into())]);
    anyref.segment(&picture, &asked).unwrap()
}

fn assert_same(found: &Answer, expected: &Answer, least: f64) {
    assert_eq!(found.text, expected.text);
    assert_eq!(found.masks.len(), expected.masks.len());
    assert!(!expected.masks.is_empty());
    for (found, expected) in found.masks.iter().zip(&expected.masks) {
        let iou = found.rle.iou(&expected.rle).unwrap();
        assert!(iou >= least, "IoU {iou}");
    }
}

#[test]
fn weights_keep_the_type_asked_for_and_values_are_f32() {
    let device = Default::default();
    for (dtype, kept) in [
        (WeightType::Auto, DType::F16),
        (WeightType::Bf16, DType::BF16),
        (WeightType::F32, DType::F32),
    ] {
        let options = ModelOptions::new(dtype);
        let anyref = AnyRef::<TestBackend>::load_with(&nano(), options, &device).unwrap();
        let model = &anyref.model;
        let masks = model.mask_branch();
        let layer = &model.llm.model.layers[0];
        let matrices = [
            layer.mlp.up_proj.base_layer.weight.val(),
            model.llm.model.embed_tokens.weight.val(),
            masks.image_encoder.layers[0].attn.qkv.weight.val(),
            model.vision_tower.clip().encoder.layers[0]
                .mlp
                .fc1
                .weight
                .val(),
            masks.mask_decoder.transformer.layers[0]
                .mlp
                .lin1
                .weight
                .val(),
            masks.text_hidden_fcs.fc1.weight.val(),
        ];
        assert!(matrices.iter().all(|matrix| matrix.dtype() == kept));
        let audio = model.audio_encoder.as_ref().unwrap();
        let projection = audio.trunk.blocks[0].attn.in_proj_weight.val();
        assert_eq!(projection.dtype(), kept);
        for small in [
            layer.input_layernorm.weight.val().dtype(),
            masks.image_encoder.neck.conv2.weight.val().dtype(),
            masks.mask_decoder.iou_token.weight.val().dtype(),
        ] {
            assert_eq!(small, DType::F32);
        }
    }
}

/// Computes as on a GPU, with the same operations: weights and values of one half type; norms,
/// softmax and the neck in f32.
#[test]
fn a_model_that_computes_in_half_precision_answers_alike() {
    let device = Default::default();
    let wide = AnyRef::<TestBackend>::load(&nano(), &device).unwrap();
    let expected = ask(&wide);
    for dtype in [DType::F16, DType::BF16] {
        let config = AnyRefConfig::of_folder(&nano()).unwrap();
        let mut model = config.init::<TestBackend>(&device);
        let options = LoadOptions::default()
            .with_cast(Some(dtype))
            .with_wide(r"\.positional_encoding_gaussian_matrix$");
        let checkpoint = Checkpoint::open(nano()).unwrap();
        load_module(&mut model, &checkpoint, &options).unwrap();
        let tokenizer = Tokenizer::from_folder(nano()).unwrap();
        let half = AnyRef::new(config, model, tokenizer, device).unwrap();
        let ids = Tensor::<TestBackend, 2, Int>::zeros([1, 3], &device);
        assert_eq!(half.model.llm.embed(ids).dtype(), dtype);
        assert_same(&ask(&half), &expected, 0.95);
    }
}
