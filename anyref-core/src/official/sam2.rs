//! SAM 2: image encoder, prompt encoder, mask decoder, in both layouts.

use anyref_decoder::import::{SAM2_AUTHORS, SAM2_TRANSFORMERS, SEGMENT_ANYTHING, TRANSFORMERS};
use anyref_decoder::{
    MaskDecoderConfig, PromptEncoder, PromptEncoderConfig, Sam2MaskDecoder, Sam2MaskDecoderConfig,
    Stability,
};
use anyref_vision::import;
use anyref_vision::sam2::Sam2VisionConfig;
use anyref_weights::{Checkpoint, LoadOptions, OutputTensor};
use burn::module::Module;
use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use serde_json::Value;

use super::config_file::Section;
use super::kind::Kind;
use super::published::Published;
use super::shapes::Shapes;
use crate::{Result, Sam2Config};

/// The two parts that make masks, under the names they have in SAM 2.
#[derive(Module, Debug)]
pub(crate) struct Sam2MaskParts<B: Backend> {
    pub prompt_encoder: PromptEncoder<B>,
    pub mask_decoder: Sam2MaskDecoder<B>,
}

/// Prefix of its tensors inside a Sa2VA.
const IN_SA2VA: &str = "grounding_encoder.sam2_model.";
/// Section of a Sa2VA's `config.json` for it. Published folders have none: theirs is Hiera large.
const SA2VA_SECTION: &str = "grounding_encoder_config";
/// transformers' table of point embeddings, a row each.
const POINTS: &str = "prompt_encoder.point_embed.weight";

/// Options for the tensors of a SAM 2 alone, or of the one in a Sa2VA.
fn of_kind(kind: Option<Kind>) -> LoadOptions {
    match kind {
        Some(Kind::Sa2va) => LoadOptions::default().with_prefix(IN_SA2VA),
        _ => LoadOptions::default(),
    }
}

/// Names of the image encoder's tensors. Tensors that only videos need may go unused.
pub fn sam2_encoder_options(kind: Option<Kind>) -> LoadOptions {
    let rules = match kind {
        Some(Kind::Sam2HuggingFace) => import::SAM2_HUGGING_FACE,
        _ => import::SAM2_AUTHORS,
    };
    of_kind(kind)
        .with_renames(rules)
        .with_all_unused(import::SAM2_UNUSED)
        .with_all_unused(import::SAM2_VIDEO)
}

/// Names of the prompt encoder's and the mask decoder's tensors in [`sam2_checkpoint`]. Tensors
/// that only videos need may go unused.
pub fn sam2_decoder_options(kind: Option<Kind>) -> LoadOptions {
    let options = match kind {
        Some(Kind::Sam2HuggingFace) => LoadOptions::default()
            .with_renames(TRANSFORMERS)
            .with_renames(SAM2_TRANSFORMERS),
        _ => of_kind(kind)
            .with_renames(SEGMENT_ANYTHING)
            .with_renames(SAM2_AUTHORS),
    };
    options
        .with_all_unused(import::SAM2_VIDEO)
        .with_all_unused(&[
            r"^(?:model\.)?image_encoder\.",
            r"^vision_encoder\.",
            r"^(?:model\.)?no_mem_embed$",
            r"^no_memory_embedding$",
            r"^prompt_encoder\.shared_embedding\.",
            r"^prompt_encoder\.point_embed\.weight$",
        ])
}

/// Tensors of a SAM 2, with transformers' table of point embeddings also row by row, as the authors
/// have it.
///
/// # Errors
/// When that table is no table.
pub fn sam2_checkpoint(published: &Published) -> Result<Checkpoint> {
    let checkpoint = &published.checkpoint;
    let Some(points) = checkpoint.get(POINTS) else {
        return Ok(checkpoint.clone());
    };
    let shapes = Shapes::new(checkpoint, &LoadOptions::default())?;
    let [rows, width] = shapes.get(POINTS)?;
    let row = |index: usize| {
        let (points, dtype) = (points.clone(), points.dtype);
        let name = format!("prompt_encoder.point_embed.{index}.weight");
        OutputTensor::new(name, dtype, [1, width], move || {
            let table = points.read()?;
            let bytes = width * dtype.size();
            let row = table.as_bytes()[index * bytes..][..bytes].to_vec();
            Ok(TensorData::from_bytes_vec(row, [1, width], dtype))
        })
    };
    // Tables of more rows than there are kinds of points fail in loading.
    let rows = (0..rows.min(8)).map(row).collect();
    let rows = Checkpoint::of_tensors(checkpoint.path(), rows)?;
    Ok(Checkpoint::merge(
        checkpoint.path(),
        vec![checkpoint.clone(), rows],
    )?)
}

/// Sizes as `config.json` and the weights show them, of a SAM 2 alone or inside of a Sa2VA;
/// without a `config.json` the authors'.
///
/// # Errors
/// When the weights are not of this kind, of a size that nobody published and that no
/// `config.json` tells, or `config.json` asks for a form that is not supported.
pub fn sam2_parts(published: &Published) -> Result<Sam2Config> {
    let root = published.config().map(|file| file.root());
    let root = match (published.kind, root) {
        (Some(Kind::Sa2va), root) => root.and_then(|root| root.section(SA2VA_SECTION)),
        (_, Some(root)) => {
            root.expect_type(&["sam2", "sam2_video"], "SAM 2")?;
            Some(root)
        }
        (_, None) => None,
    };
    let section = |name| root.and_then(|root| root.section(name));
    let mut image_encoder = match section("vision_config") {
        Some(section) => configured(section)?,
        None => by_shapes(published)?,
    };
    let side = section("prompt_encoder_config").and_then(|section| section.number("image_size"));
    image_encoder.image_size = side.unwrap_or(image_encoder.image_size);
    let options = sam2_decoder_options(published.kind);
    let shapes = Shapes::new(&published.checkpoint, &options)?;
    if let Err(error) = image_encoder.validate() {
        return Err(shapes.fail(&error.to_string()));
    }
    let [mask_tokens, width] = shapes.get("mask_decoder.mask_tokens.weight")?;
    let [mask_channels, _, _, _] = shapes.get("prompt_encoder.mask_downscaling.conv2.weight")?;
    let [mlp_dim, _] = shapes.get("mask_decoder.transformer.layers.0.mlp.lin1.weight")?;
    let [inner, _] =
        shapes.get("mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight")?;
    let [iou_hidden, _] = shapes.get("mask_decoder.iou_prediction_head.layers.0.weight")?;
    let decoder = section("mask_decoder_config");
    let heads = decoder
        .and_then(|section| section.number("num_attention_heads"))
        .unwrap_or(8);
    let config = Sam2Config {
        prompt_encoder: PromptEncoderConfig::new()
            .with_embed_dim(width)
            .with_image_embedding_size(image_encoder.grid_size())
            .with_input_image_size(image_encoder.image_size)
            .with_mask_in_chans(mask_channels),
        mask_decoder: Sam2MaskDecoderConfig::of_sam(
            MaskDecoderConfig::new()
                .with_transformer_dim(width)
                .with_num_multimask_outputs(mask_tokens - 1)
                .with_depth(shapes.count("mask_decoder.transformer.layers.")?)
                .with_num_heads(heads)
                .with_mlp_dim(mlp_dim)
                .with_attention_downsample_rate((width / inner).max(1))
                .with_iou_head_depth(shapes.count("mask_decoder.iou_prediction_head.layers.")?)
                .with_iou_head_hidden_dim(iou_hidden),
        )
        .with_stability(stability(decoder)),
        image_encoder,
    };
    match config.validate() {
        Ok(()) => Ok(config),
        Err(error) => Err(shapes.fail(&error.to_string())),
    }
}

/// The image encoder of a `vision_config`.
fn configured(section: Section<'_>) -> Result<Sam2VisionConfig> {
    let mut json = section.json().clone();
    // Fields that are null, or one number for both axes, have a fuller form.
    complete(&mut json);
    serde_json::from_value(json)
        .map_err(|error| section.problem(&format!("vision_config: {error}")))
}

/// The image encoder of a published size that has as many blocks and channels as the weights.
fn by_shapes(published: &Published) -> Result<Sam2VisionConfig> {
    let options = sam2_encoder_options(published.kind);
    let shapes = Shapes::new(&published.checkpoint, &options)?;
    let [_, width, _, _] = shapes.get("backbone.pos_embed")?;
    let blocks = shapes.count("backbone.blocks.")?;
    let found = Sam2VisionConfig::published().into_iter().find(|(_, size)| {
        let trunk = &size.backbone_config;
        trunk.embed_dim_per_stage[0] == width
            && trunk.blocks_per_stage.iter().sum::<usize>() == blocks
    });
    found.map(|(_, config)| config).ok_or_else(|| {
        shapes.fail(&format!(
            "a SAM 2 of {blocks} blocks and {width} channels is none of the published sizes; put \
             it into a folder with its config.json"
        ))
    })
}

/// Condition for replacing single masks, from a `mask_decoder_config`; defaults to SAM 2's
/// settings.
fn stability(section: Option<Section<'_>>) -> Option<Stability> {
    let usual = Stability::new();
    let Some(section) = section else {
        return Some(usual);
    };
    let flag = section.json().get("dynamic_multimask_via_stability");
    if flag.and_then(Value::as_bool) == Some(false) {
        return None;
    }
    Some(Stability {
        delta: section
            .float("dynamic_multimask_stability_delta")
            .unwrap_or(usual.delta),
        thresh: section
            .float("dynamic_multimask_stability_thresh")
            .unwrap_or(usual.thresh),
    })
}

/// Leaves out fields that are null, so that they have their defaults, and gives both axes the one
/// number that stands for them.
fn complete(json: &mut Value) {
    const AXES: [&str; 4] = [
        "patch_kernel_size",
        "patch_stride",
        "patch_padding",
        "query_stride",
    ];
    let Value::Object(fields) = json else {
        return;
    };
    fields.retain(|_, value| !value.is_null());
    for (name, value) in fields {
        match value {
            Value::Number(_) if AXES.contains(&name.as_str()) => {
                *value = Value::from(vec![value.clone(), value.clone()]);
            }
            _ => complete(value),
        }
    }
}
