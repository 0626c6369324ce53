//! A checkpoint against a config: what is missing, unexpected, or of another shape.

use anyref_llm::peft::PeftAdapter;
use anyref_vision::projector::ProjectorConfig;
use anyref_weights::{LoadOptions, LoadReport, check_module};
use burn::tensor::backend::Backend;

use super::clip::{clip_config, clip_options};
use super::imagebind::{audio_config, audio_options, has_text, text_config, text_options};
use super::kind::Kind;
use super::llama::{language, llama_options};
use super::object_head::{object_head_config, object_head_options};
use super::projector::{projector_kind, projector_options};
use super::published::Published;
use super::region_encoder::{region_encoder_config, region_encoder_options};
use super::sa2va::sa2va_parts;
use super::sam::{MaskParts, decoder_options, encoder_options, sam_parts};
use super::sam2::{
    Sam2MaskParts, sam2_checkpoint, sam2_decoder_options, sam2_encoder_options, sam2_parts,
};
use crate::{AnyRefConfig, Error, Result};

/// Compares a checkpoint with a config, or with its own `config.json` and shapes. Returns one
/// report for each module of the checkpoint; values are not read.
///
/// # Errors
/// When the checkpoint is of no known kind, its own config is missing or not supported, or
/// `against` lacks the part.
pub fn compare<B: Backend>(
    published: &Published,
    against: Option<&AnyRefConfig>,
    device: &B::Device,
) -> Result<Vec<(&'static str, LoadReport)>> {
    let Some(kind) = published.kind else {
        return Err(Error::folder(
            &published.path,
            "of no known layout; nothing to compare it with",
        ));
    };
    let checkpoint = &published.checkpoint;
    let mut reports = Vec::new();
    match kind {
        Kind::AnyRef => {
            let own;
            let config = match against {
                Some(config) => config,
                None => {
                    own = AnyRefConfig::of_folder(published.folder())?;
                    &own
                }
            };
            let mut model = config.init::<B>(device);
            if let Some(lora) = &config.lora {
                model.llm = model.llm.with_lora(lora)?;
            }
            let report = check_module(&model, checkpoint, &LoadOptions::default())?;
            reports.push(("model", report));
        }
        Kind::Adapter => {
            let Some(config) = against else {
                return Err(Error::folder(
                    &published.path,
                    "an adapter does not say what it adapts; name a config",
                ));
            };
            reports.push(("adapter", adapter::<B>(published, config, device)?));
        }
        Kind::Clip => reports.push(("CLIP", tower::<B>(published, against, device)?)),
        Kind::SamAuthors | Kind::SamHuggingFace => {
            reports.extend(sam::<B>(published, against, device)?);
        }
        Kind::Sam2Authors | Kind::Sam2HuggingFace => {
            if against.is_some() {
                let problem = "SAM 2 is no part of such a model; compare a SAM with it";
                return Err(Error::folder(&published.path, problem));
            }
            reports.extend(sam2::<B>(published, device)?);
        }
        Kind::ImageBind => {
            let config = match against {
                Some(config) => config.audio.clone().ok_or(Error::NoAudioEncoder)?,
                None => audio_config(published)?,
            };
            let encoder = config.encoder.init::<B>(device);
            let report = check_module(&encoder, checkpoint, &audio_options())?;
            reports.push(("ImageBind audio", report));
            // No config of a model has it: it names sounds for models that were not trained on any.
            if has_text(published) {
                let tower = text_config(published)?.init::<B>(device);
                let report = check_module(&tower, checkpoint, &text_options())?;
                reports.push(("ImageBind text", report));
            }
        }
        Kind::Llama | Kind::LlavaHuggingFace | Kind::LlavaAuthors => {
            reports.extend(language_side::<B>(published, kind, against, device)?);
        }
        Kind::Lisa | Kind::Glamm => {
            reports.extend(language_side::<B>(published, kind, against, device)?);
            let head = object_head_config(published)?.init::<B>(device);
            let report = check_module(&head, checkpoint, &object_head_options())?;
            reports.push(("object head", report));
            if kind == Kind::Glamm {
                let regions = region_encoder_config(published)?.init::<B>(device);
                let report = check_module(&regions, checkpoint, &region_encoder_options())?;
                reports.push(("region encoder", report));
            }
            reports.extend(sam::<B>(published, against, device)?);
        }
        Kind::Sa2va => {
            if against.is_some() {
                let problem = "a Sa2VA is compared with its own config alone; leave the other out";
                return Err(Error::folder(&published.path, problem));
            }
            reports.extend(sa2va::<B>(published, device)?);
            reports.extend(sam2::<B>(published, device)?);
        }
    }
    Ok(reports)
}

/// Parts of a Sa2VA, all but SAM 2.
fn sa2va<B: Backend>(
    published: &Published,
    device: &B::Device,
) -> Result<[(&'static str, LoadReport); 4]> {
    let parts = sa2va_parts(published)?;
    let (checkpoint, options) = (&parts.checkpoint(published)?, parts.options());
    let llm = check_module(&parts.llm.init::<B>(device), checkpoint, &options.llm)?;
    let tower = check_module(&parts.tower.init::<B>(device), checkpoint, &options.tower)?;
    let projector = parts.projector.init::<B>(device)?;
    let projector = check_module(&projector, checkpoint, &options.projector)?;
    let head = parts.head.init::<B>(device);
    let head = check_module(&head, checkpoint, &options.head)?;
    Ok([
        ("language model", llm),
        ("InternViT", tower),
        ("projector", projector),
        ("object head", head),
    ])
}

/// SAM's image encoder and mask parts, alone or inside LISA or GLaMM.
fn sam<B: Backend>(
    published: &Published,
    against: Option<&AnyRefConfig>,
    device: &B::Device,
) -> Result<[(&'static str, LoadReport); 2]> {
    let parts = match against {
        Some(config) => config.sam().ok_or(Error::NoMasks)?,
        None => sam_parts(published)?,
    };
    let encoder = parts.image_encoder.init::<B>(device);
    let options = encoder_options(published.kind);
    let encoder = check_module(&encoder, &published.checkpoint, &options)?;
    let masks = MaskParts::<B> {
        prompt_encoder: parts.prompt_encoder.init(device),
        mask_decoder: parts.mask_decoder.init(device),
    };
    let options = decoder_options(published.kind);
    let masks = check_module(&masks, &published.checkpoint, &options)?;
    Ok([("SAM image encoder", encoder), ("SAM mask decoder", masks)])
}

/// SAM 2's image encoder and mask parts.
fn sam2<B: Backend>(
    published: &Published,
    device: &B::Device,
) -> Result<[(&'static str, LoadReport); 2]> {
    let (parts, checkpoint) = (sam2_parts(published)?, sam2_checkpoint(published)?);
    let encoder = parts.image_encoder.init::<B>(device);
    let options = sam2_encoder_options(published.kind);
    let encoder = check_module(&encoder, &checkpoint, &options)?;
    let masks = Sam2MaskParts::<B> {
        prompt_encoder: parts.prompt_encoder.init(device),
        mask_decoder: parts.mask_decoder.init(device),
    };
    let options = sam2_decoder_options(published.kind);
    let masks = check_module(&masks, &checkpoint, &options)?;
    Ok([
        ("SAM 2 image encoder", encoder),
        ("SAM 2 mask decoder", masks),
    ])
}

/// The language model, and what stands before it where it takes pictures.
fn language_side<B: Backend>(
    published: &Published,
    kind: Kind,
    against: Option<&AnyRefConfig>,
    device: &B::Device,
) -> Result<Vec<(&'static str, LoadReport)>> {
    let checkpoint = &published.checkpoint;
    let own = match against {
        Some(config) => config.llm.clone(),
        None => language(published)?.llm,
    };
    let options = llama_options(own.tie_word_embeddings);
    own.validate()?;
    let report = check_module(&own.init::<B>(device), checkpoint, &options)?;
    let mut reports = vec![("language model", report)];
    if !kind.has_projector() {
        return Ok(reports);
    }
    let has_tower = published.has_tower();
    let width = match (against, has_tower) {
        (Some(config), _) => Some(config.vision_tower.hidden_size()),
        (None, true) => Some(clip_config(published)?.hidden_size),
        (None, false) => None,
    };
    if let Some(width) = width {
        let projector = match against {
            Some(config) => config.mm_projector,
            None => projector_kind(published)?,
        };
        let projector = ProjectorConfig::new(width, own.hidden_size)
            .with_kind(projector)
            .init::<B>(device);
        let options = projector_options(published.kind);
        let report = check_module(&projector, checkpoint, &options)?;
        reports.push(("projector", report));
    }
    if has_tower {
        reports.push(("CLIP", tower::<B>(published, against, device)?));
    }
    Ok(reports)
}

/// Refusal of a config without CLIP.
fn no_clip(published: &Published) -> Error {
    let problem = "is to be compared with a config without CLIP; name one that has it";
    Error::folder(&published.path, problem)
}

fn tower<B: Backend>(
    published: &Published,
    against: Option<&AnyRefConfig>,
    device: &B::Device,
) -> Result<LoadReport> {
    let config = match against {
        Some(config) => (config.vision_tower.clip().cloned()).ok_or_else(|| no_clip(published))?,
        None => clip_config(published)?,
    };
    let tower = config.init::<B>(device);
    let options = clip_options(published.kind);
    Ok(check_module(&tower, &published.checkpoint, &options)?)
}

/// Compares the projections of an adapter, and its embeddings and output head if it has them, with
/// the language model of a config; other modules that it holds whole are ignored.
fn adapter<B: Backend>(
    published: &Published,
    config: &AnyRefConfig,
    device: &B::Device,
) -> Result<LoadReport> {
    let adapter = PeftAdapter::open(published.folder())?;
    let model = config.llm.init::<B>(device);
    let model = model.with_lora(&adapter.config.lora)?;
    let mut options = adapter.load_options().with_allow_missing(r"");
    for (_, entry) in adapter.saved() {
        options = options.with_allow_unused(format!("^{}$", entry.name.replace('.', r"\.")));
    }
    Ok(check_module(&model, &published.checkpoint, &options)?)
}
