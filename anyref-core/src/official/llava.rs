//! LLaVA: names of its parts, as patterns of its tensors, and the way it is asked.

use anyref_vision::preprocess::ClipResize;

use super::kind::Kind;
use super::published::Published;
use crate::Result;
use crate::prompt_config::{PictureMarkers, PromptConfig, Template};

/// The picture encoder.
pub(super) const TOWER: &str = r"^(?:model\.)?vision_tower\.";
/// The language model.
pub(super) const LANGUAGE: &str =
    r"^(?:(?:model\.)?language_model\.|model\.(?:layers|embed_tokens|norm)\.|lm_head\.)";
/// Parts of LISA and GLaMM that make masks or read regions.
pub(super) const MASKS: &str =
    r"^model\.(?:visual_model|grounding_encoder|text_hidden_fcs|region_encoder)\.";
/// The projector between the two.
pub(super) const PROJECTOR: &str = r"^(?:model\.)?(?:mm_projector|multi_modal_projector)\.";

/// Way from a picture to CLIP's square: `image_aspect_ratio` of the config, or the square in the
/// middle.
///
/// # Errors
/// When the model was trained with pictures in several pieces.
pub fn llava_resize(published: &Published) -> Result<ClipResize> {
    let field = "image_aspect_ratio";
    let Some(root) = published.config().map(|file| file.root()) else {
        return Ok(ClipResize::CenterCrop);
    };
    match root.text(field) {
        None | Some("square") => Ok(ClipResize::CenterCrop),
        Some("pad") => Ok(ClipResize::Pad),
        Some(other) => {
            let problem = format!("is {other:?}; supported: square, pad");
            Err(root.fail(field, &problem))
        }
    }
}

/// Questions of a LLaVA as LLaVA's own `run_llava.py` asks them: the template by the model's
/// `name`, markers around the picture by `mm_use_im_start_end`, which transformers' layout has not.
pub fn llava_prompts(published: &Published, name: &str) -> PromptConfig {
    let root = published.config().map(|file| file.root());
    let marked = root.and_then(|root| root.json().get("mm_use_im_start_end")?.as_bool());
    let authors = published.kind == Some(Kind::LlavaAuthors);
    PromptConfig {
        template: match name.to_lowercase().contains("llama-2") {
            true => Template::LlavaLlama2,
            false => Template::LlavaV1,
        },
        picture_markers: match authors && marked == Some(true) {
            true => PictureMarkers::StartEnd,
            false => PictureMarkers::None,
        },
        ..PromptConfig::llava()
    }
}
