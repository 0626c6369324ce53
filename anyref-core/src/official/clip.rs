//! CLIP's vision tower, alone or inside LLaVA.

use anyref_vision::clip::{ClipVisionConfig, HiddenAct};
use anyref_vision::import;
use anyref_weights::LoadOptions;

use super::config_file::Section;
use super::kind::Kind;
use super::llava::{LANGUAGE, PROJECTOR};
use super::published::Published;
use super::shapes::Shapes;
use crate::Result;

/// Options of loading the tower.
pub fn clip_options(kind: Option<Kind>) -> LoadOptions {
    let (rules, unused) = match kind {
        Some(kind) if kind.is_llava() => (import::CLIP_VISION_IN_LLAVA, &[LANGUAGE, PROJECTOR][..]),
        _ => (import::CLIP_VISION, &[][..]),
    };
    LoadOptions::default()
        .with_renames(rules)
        .with_all_unused(unused)
        .with_all_unused(import::CLIP_VISION_UNUSED)
}

/// Configuration with the tower's sizes from the weights; the rest from `config.json`, or OpenAI's.
///
/// # Errors
/// When the weights are not of this kind, or `config.json` contradicts them or uses unsupported
/// features.
pub fn clip_config(published: &Published) -> Result<ClipVisionConfig> {
    let shapes = Shapes::new(&published.checkpoint, &clip_options(published.kind))?;
    let section = match published.config() {
        Some(file) => {
            let root = file.root();
            root.expect_type(
                &["clip", "clip_vision_model", "llava", "llava_llama", "llama"],
                "CLIP",
            )?;
            let inner = file.section("vision_config");
            if let Some(inner) = &inner {
                inner.expect_type(&["clip", "clip_vision_model"], "CLIP")?;
            }
            // The authors' LLaVA says nothing of its tower.
            let alone = root.text("model_type") == Some("clip_vision_model");
            inner.or(alone.then_some(root))
        }
        None => None,
    };
    let [hidden_size, num_channels, patch_size, _] =
        shapes.get("embeddings.patch_embedding.weight")?;
    let [positions, _] = shapes.get("embeddings.position_embedding.weight")?;
    let [intermediate_size, _] = shapes.get("encoder.layers.0.mlp.fc1.weight")?;
    let side = (positions - 1).isqrt();
    if side == 0 || side * side + 1 != positions {
        return Err(shapes.fail(&format!("{positions} positions are no square picture")));
    }
    let mut config = ClipVisionConfig {
        hidden_size,
        intermediate_size,
        num_hidden_layers: shapes.count("encoder.layers.")?,
        // As wide as those of every tower that OpenAI published.
        num_attention_heads: (hidden_size / 64).max(1),
        num_channels,
        image_size: side * patch_size,
        patch_size,
        ..ClipVisionConfig::default()
    };
    if let Some(section) = section {
        complete(&mut config, &section)?;
    }
    let heads = config.num_attention_heads;
    if heads == 0 || !hidden_size.is_multiple_of(heads) {
        let problem = format!("{heads} attention heads do not divide a width of {hidden_size}");
        return Err(shapes.fail(&problem));
    }
    Ok(config)
}

/// Takes from the file what weights do not show.
fn complete(config: &mut ClipVisionConfig, section: &Section<'_>) -> Result<()> {
    section.agree("hidden_size", config.hidden_size)?;
    section.agree("intermediate_size", config.intermediate_size)?;
    section.agree("num_hidden_layers", config.num_hidden_layers)?;
    section.agree("image_size", config.image_size)?;
    section.agree("patch_size", config.patch_size)?;
    // transformers leaves out what has its own default.
    config.num_attention_heads = section.number("num_attention_heads").unwrap_or(12);
    config.layer_norm_eps = section.float("layer_norm_eps").unwrap_or(1e-5);
    config.hidden_act = match section.text("hidden_act").unwrap_or("quick_gelu") {
        "quick_gelu" => HiddenAct::QuickGelu,
        "gelu" => HiddenAct::Gelu,
        other => {
            let problem = format!("is {other:?}; supported: quick_gelu, gelu");
            return Err(section.fail("hidden_act", &problem));
        }
    };
    Ok(())
}
