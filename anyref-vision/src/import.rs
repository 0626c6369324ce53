//! Renamings from published checkpoints to the names of this crate's modules.
//!
//! The names are relative to the module itself. Parameters of layer normalisation and the
//! transposition of linear weights are left to the loader, as for any PyTorch checkpoint.

use anyref_weights::Rename;

/// Tensors of a `CLIPModel` or `CLIPVisionModel` that are no parameters of the tower: the text
/// side, the projections, and a stored range of integers.
pub const CLIP_VISION_UNUSED: &[&str] = &[
    r"^text_model\.",
    r"^(?:visual|text)_projection\.",
    r"^logit_scale$",
    r"embeddings\.position_ids$",
];

/// Tensors of a SAM checkpoint that are no parameters of the image encoder.
pub const SAM_UNUSED: &[&str] = &[
    r"^prompt_encoder\.",
    r"^mask_decoder\.",
    r"^shared_image_embedding\.",
];

/// [`ClipVisionModel`](crate::clip::ClipVisionModel) from transformers' `CLIPVisionModel` or
/// `CLIPModel`, both of which prefix the tower with `vision_model.`. Other tensors keep their
/// names; see [`CLIP_VISION_UNUSED`].
pub const CLIP_VISION: &[Rename] = &[(r"^vision_model\.", "")];

/// [`ClipVisionModel`](crate::clip::ClipVisionModel) from a LLaVA checkpoint that carries its
/// tower: the authors' (`model.vision_tower.vision_tower.vision_model.`) or transformers'
/// (`vision_tower.vision_model.`, `model.vision_tower.vision_model.`, and without `vision_model.`
/// in the latest).
pub const CLIP_VISION_IN_LLAVA: &[Rename] =
    &[(r"^(?:model\.)?(?:vision_tower\.)+(?:vision_model\.)?", "")];

/// [`InternVisionModel`](crate::internvit::InternVisionModel) from InternVL's and Sa2VA's own
/// layout, which prefixes the tower with `vision_model.`.
pub const INTERN_VIT: &[Rename] = &[(r"^vision_model\.", "")];

/// [`InternVlProjector`](crate::internvit::InternVlProjector) from InternVL's and Sa2VA's own
/// layout, where it is the sequence `mlp1`.
pub const INTERN_VL_PROJECTOR: &[Rename] = &[
    (r"^mlp1\.0\.", "layer_norm."),
    (r"^mlp1\.1\.", "linear_1."),
    (r"^mlp1\.3\.", "linear_2."),
];

/// [`SamImageEncoder`](crate::sam::SamImageEncoder) from the authors' `sam_vit_*.pth`;
/// see [`SAM_UNUSED`].
pub const SAM_AUTHORS: &[Rename] = &[
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
];

/// [`SamImageEncoder`](crate::sam::SamImageEncoder) from transformers' `SamModel`; see
/// [`SAM_UNUSED`].
pub const SAM_HUGGING_FACE: &[Rename] = &[(r"^vision_encoder\.", "")];

/// [`Projector`](crate::projector::Projector) from the LLaVA authors' checkpoints:
/// `mm_projector.weight` for one layer, `mm_projector.0.weight` and `mm_projector.2.weight` for
/// two.
pub const PROJECTOR_AUTHORS: &[Rename] = &[
    (r"^(?:model\.)?mm_projector\.0\.", "linear_1."),
    (r"^(?:model\.)?mm_projector\.2\.", "linear_2."),
    (r"^(?:model\.)?mm_projector\.", "linear_1."),
];

/// [`Projector`](crate::projector::Projector) from transformers' `LlavaForConditionalGeneration`.
pub const PROJECTOR_HUGGING_FACE: &[Rename] = &[(r"^(?:model\.)?multi_modal_projector\.", "")];
