//! Names of the authors' checkpoint, `imagebind_huge.pth`.
//!
//! | checkpoint, after `modality_` | module |
//! |---|---|
//! | `preprocessors.audio.{cls_token,rgbt_stem,pos_embedding_helper}` | `preprocessor.{…}` |
//! | `trunks.audio.blocks.N.{attn,norm_1,mlp,norm_2}` | `trunk.blocks.N.{…}` |
//! | `heads.audio.0` | `head.norm` |
//! | `heads.audio.2` | `head.proj` |
//! | `postprocessors.audio.1.log_logit_scale` | none: `ln(logit_scale)` of the configuration |
//! | `preprocessors.text.{token_embedding,pos_embed}` | `preprocessor.{…}` |
//! | `preprocessors.text.mask` | none: the causal mask |
//! | `trunks.text.blocks.N.{attn,norm_1,mlp,norm_2}` | `trunk.blocks.N.{…}` |
//! | `heads.text.proj.0` | `head.norm` |
//! | `heads.text.proj.1` | `head.proj` |
//! | `postprocessors.text.1.log_logit_scale` | none: `ln(logit_scale)` of the configuration |

use anyref_weights::{LoadOptions, Rename};

/// [`ImageBindAudio`](super::ImageBindAudio) from `imagebind_huge.pth`; see [`IMAGEBIND_UNUSED`].
pub const IMAGEBIND: &[Rename] = &[
    (r"^modality_preprocessors\.audio\.", "preprocessor."),
    (r"^modality_trunks\.audio\.", "trunk."),
    (r"^modality_heads\.audio\.0\.", "head.norm."),
    (r"^modality_heads\.audio\.2\.", "head.proj."),
];

/// Name of the constant scalar `ln(20)`. It has no parameter here:
/// [`ImageBindAudioConfig::logit_scale`](super::ImageBindAudioConfig::logit_scale) is the length of
/// the embedding.
pub const LOG_LOGIT_SCALE: &str = "modality_postprocessors.audio.1.log_logit_scale";

/// Tensors that may be unused: the other modalities, and the scale's logarithm.
pub const IMAGEBIND_UNUSED: &[&str] = &[
    r"^modality_\w+\.(vision|text|depth|thermal|imu)\.",
    r"^modality_postprocessors\.audio\.1\.log_logit_scale$",
];

/// Options with which [`load_module`](anyref_weights::load_module) loads an
/// [`ImageBindAudio`](super::ImageBindAudio) from `imagebind_huge.pth`, or from a file with the
/// audio encoder's tensors alone. A file that contains it under a prefix needs a `prefix`.
pub fn load_options() -> LoadOptions {
    LoadOptions::default()
        .with_renames(IMAGEBIND)
        .with_all_unused(IMAGEBIND_UNUSED)
}

/// [`ImageBindText`](super::ImageBindText) from `imagebind_huge.pth`; see
/// [`IMAGEBIND_TEXT_UNUSED`].
pub const IMAGEBIND_TEXT: &[Rename] = &[
    (r"^modality_preprocessors\.text\.", "preprocessor."),
    (r"^modality_trunks\.text\.", "trunk."),
    (r"^modality_heads\.text\.proj\.0\.", "head.norm."),
    (r"^modality_heads\.text\.proj\.1\.", "head.proj."),
];

/// Name of the learned scalar, the logarithm of
/// [`ImageBindTextConfig::logit_scale`](super::ImageBindTextConfig::logit_scale).
pub const TEXT_LOG_LOGIT_SCALE: &str = "modality_postprocessors.text.1.log_logit_scale";

/// Tensors that may be unused: the other modalities, the causal mask, and the scale's logarithm.
pub const IMAGEBIND_TEXT_UNUSED: &[&str] = &[
    r"^modality_\w+\.(vision|audio|depth|thermal|imu)\.",
    r"^preprocessor\.mask$",
    r"^modality_postprocessors\.text\.1\.log_logit_scale$",
];

/// Options with which [`load_module`](anyref_weights::load_module) loads an
/// [`ImageBindText`](super::ImageBindText) from `imagebind_huge.pth`, or from a file with the
/// tower's tensors alone. A file that contains it under a prefix needs a `prefix`.
pub fn text_load_options() -> LoadOptions {
    LoadOptions::default()
        .with_renames(IMAGEBIND_TEXT)
        .with_all_unused(IMAGEBIND_TEXT_UNUSED)
}
