//! Names of official checkpoints.
//!
//! Each table is a list of (regular expression, replacement), applied in order, that turns a checkpoint's
//! names into those of this crate's modules under `prompt_encoder.`, `mask_decoder.` and `object_head.`.
//! What stands before these stays, so that a longer path (`base_model.model.model.visual_model.`) may be
//! removed by one rule more. Layouts (transposed linear weights, `weight`/`bias` of normalisations)
//! are left to the loader.

/// A regular expression and its replacement.
pub type Rename = (&'static str, &'static str);

/// segment-anything's `.pth` files, and checkpoints that contain that model.
pub const SEGMENT_ANYTHING: &[Rename] = &[
    (
        r"(^|\.)prompt_encoder\.mask_downscaling\.0\.",
        "${1}prompt_encoder.mask_downscaling.conv1.",
    ),
    (
        r"(^|\.)prompt_encoder\.mask_downscaling\.1\.",
        "${1}prompt_encoder.mask_downscaling.layer_norm1.",
    ),
    (
        r"(^|\.)prompt_encoder\.mask_downscaling\.3\.",
        "${1}prompt_encoder.mask_downscaling.conv2.",
    ),
    (
        r"(^|\.)prompt_encoder\.mask_downscaling\.4\.",
        "${1}prompt_encoder.mask_downscaling.layer_norm2.",
    ),
    (
        r"(^|\.)prompt_encoder\.mask_downscaling\.6\.",
        "${1}prompt_encoder.mask_downscaling.conv3.",
    ),
    (
        r"(^|\.)mask_decoder\.output_upscaling\.0\.",
        "${1}mask_decoder.output_upscaling.conv1.",
    ),
    (
        r"(^|\.)mask_decoder\.output_upscaling\.1\.",
        "${1}mask_decoder.output_upscaling.layer_norm.",
    ),
    (
        r"(^|\.)mask_decoder\.output_upscaling\.3\.",
        "${1}mask_decoder.output_upscaling.conv2.",
    ),
];

/// transformers' `SamModel`. Its perceptrons name their first and last layer apart; the table
/// is for the published depth of 3.
///
/// `pytorch_model.bin` holds the frequencies twice; the copy at
/// `prompt_encoder.shared_embedding.positional_embedding` keeps its name, and may be left unused.
pub const TRANSFORMERS: &[Rename] = &[
    (
        r"(^|\.)shared_image_embedding\.positional_embedding$",
        "${1}prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (
        r"(^|\.)prompt_encoder\.point_embed\.",
        "${1}prompt_encoder.point_embeddings.",
    ),
    (
        r"(^|\.)prompt_encoder\.mask_embed\.",
        "${1}prompt_encoder.mask_downscaling.",
    ),
    (
        r"(^|\.)mask_decoder\.upscale_conv([12])\.",
        "${1}mask_decoder.output_upscaling.conv${2}.",
    ),
    (
        r"(^|\.)mask_decoder\.upscale_layer_norm\.",
        "${1}mask_decoder.output_upscaling.layer_norm.",
    ),
    (
        r"(^|\.)mask_decoder\.(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0\.",
        "${1}mask_decoder.${2}.layers.1.",
    ),
    (
        r"(^|\.)mask_decoder\.(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_in\.",
        "${1}mask_decoder.${2}.layers.0.",
    ),
    (
        r"(^|\.)mask_decoder\.(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_out\.",
        "${1}mask_decoder.${2}.layers.2.",
    ),
    (
        r"(^|\.)mask_decoder\.transformer\.layers\.(\d+)\.layer_norm([1-4])\.",
        "${1}mask_decoder.transformer.layers.${2}.norm${3}.",
    ),
    (
        r"(^|\.)mask_decoder\.transformer\.layer_norm_final_attn\.",
        "${1}mask_decoder.transformer.norm_final_attn.",
    ),
];

/// The authors' head from language model states to prompts.
pub const OBJECT_HEAD: &[Rename] = &[
    (r"(^|\.)text_hidden_fcs\.0\.0\.", "${1}object_head.fc1."),
    (r"(^|\.)text_hidden_fcs\.0\.2\.", "${1}object_head.fc2."),
];
