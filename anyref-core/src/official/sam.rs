//! SAM: image encoder, prompt encoder, mask decoder, in both layouts.

use anyref_decoder::import::{SEGMENT_ANYTHING, TRANSFORMERS};
use anyref_decoder::{MaskDecoder, MaskDecoderConfig, PromptEncoder, PromptEncoderConfig};
use anyref_vision::import;
use anyref_vision::sam::SamVisionConfig;
use anyref_weights::LoadOptions;
use burn::module::Module;
use burn::tensor::backend::Backend;

use super::kind::Kind;
use super::published::Published;
use super::shapes::Shapes;
use crate::{Result, SamConfig};

/// The two parts that make masks, under the names they have in SAM and in AnyRef.
#[derive(Module, Debug)]
pub(crate) struct MaskParts<B: Backend> {
    pub prompt_encoder: PromptEncoder<B>,
    pub mask_decoder: MaskDecoder<B>,
}

/// Prefix of SAM in a LISA, with the authors' names.
const IN_LISA: &str = "model.visual_model.";
/// Place of the SAM in a GLaMM, under the authors' names.
const IN_GLAMM: &str = "model.grounding_encoder.";

/// Options for the tensors of SAM alone.
fn sam_options(kind: Option<Kind>) -> LoadOptions {
    match kind {
        Some(Kind::Lisa) => LoadOptions::default().with_prefix(IN_LISA),
        Some(Kind::Glamm) => LoadOptions::default().with_prefix(IN_GLAMM),
        _ => LoadOptions::default(),
    }
}

/// Options of loading the image encoder.
pub fn encoder_options(kind: Option<Kind>) -> LoadOptions {
    let rules = match kind {
        Some(Kind::SamHuggingFace) => import::SAM_HUGGING_FACE,
        _ => import::SAM_AUTHORS,
    };
    sam_options(kind)
        .with_renames(rules)
        .with_all_unused(import::SAM_UNUSED)
}

/// Options of loading prompt encoder and mask decoder.
pub fn decoder_options(kind: Option<Kind>) -> LoadOptions {
    let rules = match kind {
        Some(Kind::SamHuggingFace) => TRANSFORMERS,
        _ => SEGMENT_ANYTHING,
    };
    sam_options(kind).with_renames(rules).with_all_unused(&[
        r"^(?:image_encoder|vision_encoder)\.",
        r"^prompt_encoder\.shared_embedding\.",
    ])
}

/// Configuration with the sizes from the weights; the rest from `config.json`, or the authors'.
///
/// # Errors
/// When the weights are not of this kind, or `config.json` contradicts them or uses unsupported
/// features.
pub fn sam_parts(published: &Published) -> Result<SamConfig> {
    if let Some(file) = published.config()
        && !published.kind.is_some_and(Kind::has_object_head)
    {
        file.root().expect_type(&["sam"], "SAM")?;
    }
    let image_encoder = image_encoder(published)?;
    let shapes = Shapes::new(&published.checkpoint, &decoder_options(published.kind))?;
    let [mask_tokens, width] = shapes.get("mask_decoder.mask_tokens.weight")?;
    let [mask_channels, _, _, _] = shapes.get("prompt_encoder.mask_downscaling.conv2.weight")?;
    let [mlp_dim, _] = shapes.get("mask_decoder.transformer.layers.0.mlp.lin1.weight")?;
    let [inner, _] =
        shapes.get("mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight")?;
    let [iou_hidden, _] = shapes.get("mask_decoder.iou_prediction_head.layers.0.weight")?;
    let section = published
        .config()
        .and_then(|file| file.section("mask_decoder_config"));
    let heads = section
        .and_then(|section| section.number("num_attention_heads"))
        .unwrap_or(8);
    // torch's default in the authors' code, another in transformers'.
    let epsilon = match published.kind {
        Some(Kind::SamHuggingFace) => section
            .and_then(|section| section.float("layer_norm_eps"))
            .unwrap_or(1e-6),
        _ => 1e-5,
    };
    if heads == 0 || !inner.is_multiple_of(heads) || !width.is_multiple_of(8) {
        let problem = format!("a mask decoder of width {width} with {heads} heads is not SAM's");
        return Err(shapes.fail(&problem));
    }
    if width != image_encoder.output_channels || !mask_channels.is_multiple_of(4) {
        let problem = format!(
            "a mask decoder of width {width} does not take {} channels",
            image_encoder.output_channels
        );
        return Err(shapes.fail(&problem));
    }
    Ok(SamConfig {
        prompt_encoder: PromptEncoderConfig::new()
            .with_embed_dim(width)
            .with_image_embedding_size(image_encoder.grid_size())
            .with_input_image_size(image_encoder.image_size)
            .with_mask_in_chans(mask_channels),
        mask_decoder: MaskDecoderConfig::new()
            .with_transformer_dim(width)
            .with_num_multimask_outputs(mask_tokens - 1)
            .with_depth(shapes.count("mask_decoder.transformer.layers.")?)
            .with_num_heads(heads)
            .with_mlp_dim(mlp_dim)
            .with_attention_downsample_rate((width / inner).max(1))
            .with_iou_head_depth(shapes.count("mask_decoder.iou_prediction_head.layers.")?)
            .with_iou_head_hidden_dim(iou_hidden)
            .with_layer_norm_eps(epsilon),
        image_encoder,
    })
}

fn image_encoder(published: &Published) -> Result<SamVisionConfig> {
    let shapes = Shapes::new(&published.checkpoint, &encoder_options(published.kind))?;
    let [hidden_size, num_channels, patch_size, _] = shapes.get("patch_embed.projection.weight")?;
    let [_, grid, _, _] = shapes.get("pos_embed")?;
    let [mlp_dim, _] = shapes.get("layers.0.mlp.lin1.weight")?;
    let [output_channels, ..] = shapes.get::<4>("neck.conv1.weight")?;
    let layers = shapes.count("layers.")?;
    // The tables of relative positions are as long as windows are wide, and tell the heads' width.
    let mut sides = Vec::with_capacity(layers);
    let mut head_width = 0;
    for layer in 0..layers {
        let [length, width] = shapes.get(&format!("layers.{layer}.attn.rel_pos_h"))?;
        sides.push(length.div_ceil(2));
        head_width = width;
    }
    if !hidden_size.is_multiple_of(head_width) {
        let problem = format!("heads of {head_width} do not divide a width of {hidden_size}");
        return Err(shapes.fail(&problem));
    }
    let window = sides.iter().copied().find(|&side| side != grid);
    if let Some(side) = sides
        .iter()
        .find(|&&side| side != grid && Some(side) != window)
    {
        let problem = format!("windows of {side} and of {}", window.unwrap_or(grid));
        return Err(shapes.fail(&problem));
    }
    let section = published
        .config()
        .and_then(|file| file.section("vision_config"));
    let config = SamVisionConfig {
        hidden_size,
        mlp_dim,
        num_hidden_layers: layers,
        num_attention_heads: hidden_size / head_width,
        num_channels,
        image_size: grid * patch_size,
        patch_size,
        output_channels,
        window_size: window.unwrap_or(0),
        global_attn_indexes: (0..layers).filter(|&layer| sides[layer] == grid).collect(),
        layer_norm_eps: section
            .and_then(|section| section.float("layer_norm_eps"))
            .unwrap_or(1e-6),
        qkv_bias: shapes.has("layers.0.attn.qkv.bias"),
        use_abs_pos: true,
        use_rel_pos: true,
    };
    if let Some(section) = section {
        section.agree("hidden_size", config.hidden_size)?;
        section.agree("num_hidden_layers", config.num_hidden_layers)?;
        section.agree("image_size", config.image_size)?;
        section.agree("patch_size", config.patch_size)?;
    }
    Ok(config)
}
