//! Rename rules for official checkpoints.
//!
//! Each table is a list of (regular expression, replacement), applied in order, that converts a
//! checkpoint's names to those of this crate's modules. A prefix of a module's own names
//! (`prompt_encoder.`, `mask_decoder.`, or a longer path) is kept; the tables work with or without
//! it, except that transformers' frequencies are moved to `prompt_encoder.` from outside. Layouts
//! (transposed linear weights, `weight`/`bias` of normalisations) are handled by the loader.

use anyref_weights::Rename;

/// Rules for segment-anything's `.pth` files, and for checkpoints that contain that model.
pub const SEGMENT_ANYTHING: &[Rename] = &[
    (
        r"(^|\.)mask_downscaling\.0\.",
        "${1}mask_downscaling.conv1.",
    ),
    (
        r"(^|\.)mask_downscaling\.1\.",
        "${1}mask_downscaling.layer_norm1.",
    ),
    (
        r"(^|\.)mask_downscaling\.3\.",
        "${1}mask_downscaling.conv2.",
    ),
    (
        r"(^|\.)mask_downscaling\.4\.",
        "${1}mask_downscaling.layer_norm2.",
    ),
    (
        r"(^|\.)mask_downscaling\.6\.",
        "${1}mask_downscaling.conv3.",
    ),
    (
        r"(^|\.)output_upscaling\.0\.",
        "${1}output_upscaling.conv1.",
    ),
    (
        r"(^|\.)output_upscaling\.1\.",
        "${1}output_upscaling.layer_norm.",
    ),
    (
        r"(^|\.)output_upscaling\.3\.",
        "${1}output_upscaling.conv2.",
    ),
];

/// Rules for transformers' `SamModel`. Its MLPs name their first and last layer separately; the
/// table supports the published depth of 3.
///
/// `pytorch_model.bin` holds the frequencies twice; the copy at
/// `prompt_encoder.shared_embedding.positional_embedding` keeps its name, and may be unused.
pub const TRANSFORMERS: &[Rename] = &[
    (
        r"(^|\.)shared_image_embedding\.positional_embedding$",
        "${1}prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"(^|\.)point_embed\.", "${1}point_embeddings."),
    (r"(^|\.)mask_embed\.", "${1}mask_downscaling."),
    (
        r"(^|\.)upscale_conv([12])\.",
        "${1}output_upscaling.conv${2}.",
    ),
    (
        r"(^|\.)upscale_layer_norm\.",
        "${1}output_upscaling.layer_norm.",
    ),
    (
        r"(^|\.)(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0\.",
        "${1}${2}.layers.1.",
    ),
    (
        r"(^|\.)(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_in\.",
        "${1}${2}.layers.0.",
    ),
    (
        r"(^|\.)(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_out\.",
        "${1}${2}.layers.2.",
    ),
    (
        r"(^|\.)transformer\.layers\.(\d+)\.layer_norm([1-4])\.",
        "${1}transformer.layers.${2}.norm${3}.",
    ),
    (
        r"(^|\.)transformer\.layer_norm_final_attn\.",
        "${1}transformer.norm_final_attn.",
    ),
];

/// Rules for SAM 2's `.pt` files, and for checkpoints that contain that model, to be applied before
/// [`SEGMENT_ANYTHING`]: its prompt encoder and mask decoder are named `sam_prompt_encoder` and
/// `sam_mask_decoder`, in a dictionary `model` in the authors' files.
pub const SAM2_AUTHORS: &[Rename] = &[
    (r"^(?:model\.)?sam_(prompt_encoder|mask_decoder)\.", "${1}."),
    (
        r"(^|\.)transformer\.layers\.(\d+)\.mlp\.layers\.0\.",
        "${1}transformer.layers.${2}.mlp.lin1.",
    ),
    (
        r"(^|\.)transformer\.layers\.(\d+)\.mlp\.layers\.1\.",
        "${1}transformer.layers.${2}.mlp.lin2.",
    ),
];

/// Rules for transformers' `Sam2Model`, to be applied before [`TRANSFORMERS`]. Its four point
/// embeddings are the rows of one tensor, `prompt_encoder.point_embed.weight`, which renaming
/// cannot split.
pub const SAM2_TRANSFORMERS: &[Rename] = &[
    (
        r"(^|\.)pred_obj_score_head\.layers\.0\.",
        "${1}pred_obj_score_head.layers.1.",
    ),
    (
        r"(^|\.)pred_obj_score_head\.proj_in\.",
        "${1}pred_obj_score_head.layers.0.",
    ),
    (
        r"(^|\.)pred_obj_score_head\.proj_out\.",
        "${1}pred_obj_score_head.layers.2.",
    ),
    (
        r"(^|\.)transformer\.layers\.(\d+)\.mlp\.proj_in\.",
        "${1}transformer.layers.${2}.mlp.lin1.",
    ),
    (
        r"(^|\.)transformer\.layers\.(\d+)\.mlp\.proj_out\.",
        "${1}transformer.layers.${2}.mlp.lin2.",
    ),
    (
        r"(^|\.)transformer\.(.*)\.o_proj\.",
        "${1}transformer.${2}.out_proj.",
    ),
];
