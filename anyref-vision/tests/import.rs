//! Rename rules applied to names of published checkpoints.

use anyref_vision::import;
use anyref_vision::projector::{ProjectorConfig, ProjectorKind};
use anyref_weights::Rename;
use burn::tensor::Tensor;
use regex::Regex;

fn rename(rules: &[Rename], name: &str) -> String {
    rules.iter().fold(name.to_owned(), |name, (from, to)| {
        Regex::new(from)
            .unwrap()
            .replace_all(&name, *to)
            .into_owned()
    })
}

#[test]
fn published_names_reach_the_fields() {
    let cases = [
        (
            import::CLIP_VISION,
            "vision_model.pre_layrnorm.weight",
            "pre_layrnorm.weight",
        ),
        (
            import::CLIP_VISION,
            "text_model.final_layer_norm.bias",
            "text_model.final_layer_norm.bias",
        ),
        (
            import::CLIP_VISION_IN_LLAVA,
            "model.vision_tower.vision_tower.vision_model.encoder.layers.3.mlp.fc1.weight",
            "encoder.layers.3.mlp.fc1.weight",
        ),
        (
            import::CLIP_VISION_IN_LLAVA,
            "vision_tower.vision_model.embeddings.class_embedding",
            "embeddings.class_embedding",
        ),
        (
            import::CLIP_VISION_IN_LLAVA,
            "model.vision_tower.post_layernorm.bias",
            "post_layernorm.bias",
        ),
        (
            import::SAM_AUTHORS,
            "image_encoder.blocks.12.norm2.bias",
            "layers.12.layer_norm2.bias",
        ),
        (
            import::SAM_AUTHORS,
            "image_encoder.blocks.7.attn.rel_pos_h",
            "layers.7.attn.rel_pos_h",
        ),
        (
            import::SAM_AUTHORS,
            "image_encoder.neck.3.weight",
            "neck.layer_norm2.weight",
        ),
        (import::SAM_AUTHORS, "image_encoder.pos_embed", "pos_embed"),
        (
            import::SAM_AUTHORS,
            "mask_decoder.iou_token.weight",
            "mask_decoder.iou_token.weight",
        ),
        (
            import::SAM_HUGGING_FACE,
            "vision_encoder.neck.conv2.weight",
            "neck.conv2.weight",
        ),
        (
            import::PROJECTOR_AUTHORS,
            "model.mm_projector.weight",
            "linear_1.weight",
        ),
        (
            import::PROJECTOR_AUTHORS,
            "mm_projector.0.bias",
            "linear_1.bias",
        ),
        (
            import::PROJECTOR_AUTHORS,
            "model.mm_projector.2.bias",
            "linear_2.bias",
        ),
        (
            import::PROJECTOR_HUGGING_FACE,
            "model.multi_modal_projector.linear_2.weight",
            "linear_2.weight",
        ),
    ];
    for (rules, from, to) in cases {
        assert_eq!(rename(rules, from), to);
    }
}

#[test]
fn projectors_keep_leading_dimensions() {
    type TestBackend = burn_flex::Flex;
    let device = Default::default();
    for kind in [ProjectorKind::Linear, ProjectorKind::Mlp2xGelu] {
        let projector = ProjectorConfig::new(6, 10)
            .with_kind(kind)
            .init::<TestBackend>(&device);
        let features = Tensor::<TestBackend, 3>::ones([2, 4, 6], &device);
        assert_eq!(projector.forward(features.clone()).dims(), [2, 4, 10]);
        assert_eq!(projector.forward(features.reshape([8, 6])).dims(), [8, 10]);
    }
}
