//! Renamings from published checkpoints to the names of this crate's modules.
//!
//! Each function returns (regular expression, replacement) pairs, to be applied in order to each tensor
//! name. The result is relative to the module itself. Layer normalisation parameters and the transposition
//! of linear weights are the loader's affair, as for any PyTorch checkpoint.

/// Tensors of a `CLIPModel` or `CLIPVisionModel` that are no parameters of the tower: the text side, the
/// projections, and a stored range of integers.
pub const CLIP_VISION_UNUSED: [&str; 4] = [
    r"^text_model\.",
    r"^(?:visual|text)_projection\.",
    r"^logit_scale$",
    r"embeddings\.position_ids$",
];

/// Tensors of a SAM checkpoint that are no parameters of the image encoder.
pub const SAM_UNUSED: [&str; 3] = [
    r"^prompt_encoder\.",
    r"^mask_decoder\.",
    r"^shared_image_embedding\.",
];

/// Makes owned pairs of a table.
fn rules(table: &[(&str, &str)]) -> Vec<(String, String)> {
    table
        .iter()
        .map(|&(from, to)| (from.to_owned(), to.to_owned()))
        .collect()
}

/// [`ClipVisionModel`](crate::clip::ClipVisionModel) from transformers' `CLIPVisionModel` or `CLIPModel`,
/// both of which prefix the tower with `vision_model.`. Other tensors keep their
/// names; see [`CLIP_VISION_UNUSED`].
pub fn clip_vision() -> Vec<(String, String)> {
    rules(&[(r"^vision_model\.", "")])
}

/// [`ClipVisionModel`](crate::clip::ClipVisionModel) from a LLaVA checkpoint that carries its tower: the
/// authors' (`model.vision_tower.vision_tower.vision_model.`) or transformers'
/// (`vision_tower.vision_model.`, `model.vision_tower.vision_model.`, and without `vision_model.` in the
/// latest).
pub fn clip_vision_in_llava() -> Vec<(String, String)> {
    rules(&[(r"^(?:model\.)?(?:vision_tower\.)+(?:vision_model\.)?", "")])
}

/// [`SamImageEncoder`](crate::sam::SamImageEncoder) from the authors' `sam_vit_*.pth`;
/// see [`SAM_UNUSED`].
pub fn sam_authors() -> Vec<(String, String)> {
    rules(&[
        (
            r"^image_encoder\.patch_embed\.proj\.",
            "patch_embed.projection.",
        ),
        (
            r"^image_encoder\.blocks\.(\d+)\.norm([12])\.",
            "layers.${1}.layer_norm${2}.",
        ),
        (r"^image_encoder\.blocks\.", "layers."),
        (r"^image_encoder\.neck\.0\.", "neck.conv1."),
        (r"^image_encoder\.neck\.1\.", "neck.layer_norm1."),
        (r"^image_encoder\.neck\.2\.", "neck.conv2."),
        (r"^image_encoder\.neck\.3\.", "neck.layer_norm2."),
        (r"^image_encoder\.", ""),
    ])
}

/// [`SamImageEncoder`](crate::sam::SamImageEncoder) from transformers' `SamModel`; see
/// [`SAM_UNUSED`].
pub fn sam_hugging_face() -> Vec<(String, String)> {
    rules(&[(r"^vision_encoder\.", "")])
}

/// [`Projector`](crate::projector::Projector) from the LLaVA authors' checkpoints: `mm_projector.weight`
/// for one layer, `mm_projector.0.weight` and `mm_projector.2.weight` for two.
pub fn projector_authors() -> Vec<(String, String)> {
    rules(&[
        (r"^(?:model\.)?mm_projector\.0\.", "linear_1."),
        (r"^(?:model\.)?mm_projector\.2\.", "linear_2."),
        (r"^(?:model\.)?mm_projector\.", "linear_1."),
    ])
}

/// [`Projector`](crate::projector::Projector) from transformers' `LlavaForConditionalGeneration`.
pub fn projector_hugging_face() -> Vec<(String, String)> {
    rules(&[(r"^(?:model\.)?multi_modal_projector\.", "")])
}
