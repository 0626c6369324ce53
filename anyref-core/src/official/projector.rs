//! LLaVA's projector.

use anyref_vision::import;
use anyref_vision::projector::ProjectorKind;
use anyref_weights::LoadOptions;

use super::kind::Kind;
use super::llava::{LANGUAGE, MASKS, TOWER};
use super::published::Published;
use super::shapes::Shapes;
use crate::Result;

/// Options of loading the projector.
pub fn projector_options(kind: Option<Kind>) -> LoadOptions {
    let rules = match kind {
        Some(Kind::LlavaHuggingFace) => import::PROJECTOR_HUGGING_FACE,
        _ => import::PROJECTOR_AUTHORS,
    };
    LoadOptions::default()
        .with_renames(rules)
        .with_all_unused(&[LANGUAGE, TOWER, MASKS])
}

/// Number of layers, one or two, from the weights.
///
/// # Errors
/// When the weights are not of this kind, or `config.json` contradicts them or uses unsupported
/// features.
pub fn projector_kind(published: &Published) -> Result<ProjectorKind> {
    let options = projector_options(published.kind);
    let two = Shapes::new(&published.checkpoint, &options)?.has("linear_2.weight");
    if let Some(root) = published.config().map(|file| file.root()) {
        for (field, supported) in [
            ("projector_hidden_act", &["gelu"][..]),
            ("mm_projector_type", &["linear", "mlp2x_gelu"]),
        ] {
            if let Some(found) = root.text(field).filter(|found| !supported.contains(found)) {
                let problem = format!("is {found:?}; supported: {}", supported.join(", "));
                return Err(root.fail(field, &problem));
            }
        }
    }
    Ok(if two {
        ProjectorKind::Mlp2xGelu
    } else {
        ProjectorKind::Linear
    })
}
