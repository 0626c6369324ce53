//! Rename rules from published checkpoints to the names of this crate's modules.
//!
//! Names are relative to the module itself. Parameters of layer normalisation and the transposition
//! of linear weights are handled by the loader, as for any PyTorch checkpoint.

use anyref_weights::Rename;

/// Tensors of a `CLIPModel` or `CLIPVisionModel` that the tower does not use: the text side, the
/// projections, and a stored range of integers.
pub const CLIP_VISION_UNUSED: &[&str] = &[
    r"^text_model\.",
    r"^(?:visual|text)_projection\.",
    r"^logit_scale$",
    r"embeddings\.position_ids$",
];

/// Tensors of a SAM checkpoint that the image encoder does not use.
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

/// Tensors of a SAM 2 checkpoint that the image encoder does not use: prompt encoder and mask
/// decoder, in both layouts. [`SAM2_VIDEO`] lists the tensors of the video side.
pub const SAM2_UNUSED: &[&str] = &[
    r"^(?:model\.)?sam_(?:prompt_encoder|mask_decoder)\.",
    r"^(?:prompt_encoder|mask_decoder|shared_image_embedding)\.",
];

/// Tensors of a SAM 2 checkpoint that only videos need, such as the memory of earlier frames, in
/// the authors' names and in transformers'.
pub const SAM2_VIDEO: &[&str] = &[
    r"^(?:model\.)?(?:memory_attention|memory_encoder|mask_downsample)\.",
    r"^(?:model\.)?(?:obj_ptr_proj|obj_ptr_tpos_proj)\.",
    r"^(?:model\.)?(?:maskmem_tpos_enc|no_mem_pos_enc|no_obj_ptr|no_obj_embed_spatial)$",
    r"^(?:object_pointer_proj|temporal_positional_encoding_projection_layer)\.",
    r"^(?:memory_temporal_positional_encoding|no_memory_positional_encoding)$",
    r"^(?:no_object_pointer|occlusion_spatial_embedding_parameter)$",
];

/// [`Sam2ImageEncoder`](crate::sam2::Sam2ImageEncoder) from the authors' `sam2*_hiera_*.pt`, whose
/// tensors are in a dictionary `model`, or from a checkpoint that contains that model; see
/// [`SAM2_UNUSED`] and [`SAM2_VIDEO`].
pub const SAM2_AUTHORS: &[Rename] = &[
    (
        r"^(?:model\.)?image_encoder\.trunk\.patch_embed\.proj\.",
        "backbone.patch_embed.projection.",
    ),
    (
        r"^(?:model\.)?image_encoder\.trunk\.blocks\.(\d+)\.norm([12])\.",
        "backbone.blocks.${1}.layer_norm${2}.",
    ),
    (
        r"^(?:model\.)?image_encoder\.trunk\.blocks\.(\d+)\.mlp\.layers\.0\.",
        "backbone.blocks.${1}.mlp.proj_in.",
    ),
    (
        r"^(?:model\.)?image_encoder\.trunk\.blocks\.(\d+)\.mlp\.layers\.1\.",
        "backbone.blocks.${1}.mlp.proj_out.",
    ),
    (r"^(?:model\.)?image_encoder\.trunk\.", "backbone."),
    (
        r"^(?:model\.)?image_encoder\.neck\.convs\.(\d+)\.conv\.",
        "neck.convs.${1}.",
    ),
    (r"^(?:model\.)?no_mem_embed$", "no_memory_embedding"),
];

/// [`Sam2ImageEncoder`](crate::sam2::Sam2ImageEncoder) from transformers' `Sam2Model` or
/// `Sam2VideoModel`; see [`SAM2_UNUSED`] and [`SAM2_VIDEO`].
pub const SAM2_HUGGING_FACE: &[Rename] = &[(r"^vision_encoder\.", "")];

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

/// [`RegionEncoder`](crate::region_encoder::RegionEncoder) from GLaMM's own layout, which prefixes
/// it with `model.region_encoder.`.
pub const REGION_ENCODER: &[Rename] = &[
    (r"^model\.region_encoder\.", ""),
    (
        r"^roi_align\.pos_embedd\.0\.",
        "roi_align.pos_embedd.linear_1.",
    ),
    (
        r"^roi_align\.pos_embedd\.2\.",
        "roi_align.pos_embedd.layer_norm1.",
    ),
    (
        r"^roi_align\.pos_embedd\.3\.",
        "roi_align.pos_embedd.linear_2.",
    ),
    (
        r"^roi_align\.pos_embedd\.5\.",
        "roi_align.pos_embedd.layer_norm2.",
    ),
];
