//! `anyref info`: the model's parts, types and memory, and the backends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::failure;
use anyhow::Result;
use anyref_audio::AudioPreprocessorConfig;
use anyref_core::official::Published;
use anyref_core::quantization::BlockType;
use anyref_core::{
    AnyRef, AnyRefModel, BackendName, MemoryEstimate, SamModel, published_sam, resolve_model,
};
use anyref_weights::Checkpoint;
use burn::module::Module;
use burn::tensor::backend::Backend;

use crate::args::Common;
use crate::memory::memory;
use crate::model;
use crate::output::say;
use crate::units::{megabytes, millions};

/// Prints what the model is made of.
pub fn run<B: Backend>(common: &Common, device: &B::Device) -> Result<()> {
    if let Some(path) = &common.model
        && let Some(published) = published_sam(&resolve_model(path)?)?
    {
        return sam::<B>(common, &published, device);
    }
    let opened = model::open::<B>(common, device)?;
    let (source, checkpoint) = match (&common.model, &opened.path) {
        (Some(given), Some(path)) => (
            given.display().to_string(),
            AnyRef::<B>::checkpoint(path, &opened.companions)?,
        ),
        _ => {
            let checkpoint = Checkpoint::from_bytes("model.safetensors", model::EMBEDDED.weights)?;
            ("built in".to_owned(), checkpoint)
        }
    };
    let anyref = &opened.anyref;
    let config = &anyref.config;
    say(&format!("model       {source}"))?;
    say(&format!("preset      {}", config.name))?;
    say(&format!(
        "parameters  {}",
        millions(anyref.model.num_params() + anyref.model.llm.block_values())
    ))?;
    for (name, count) in parts(&anyref.model) {
        say(&format!("  {name:<34}{:>9}", millions(count)))?;
    }
    // Norms have the type of the values.
    let computed = anyref.model.llm.model.norm.weight.val().dtype();
    say(&format!(
        "weights     {}, computed as {computed:?}",
        stored(&checkpoint)
    ))?;
    for (block_type, weights, bytes) in in_blocks(&anyref.model) {
        say(&format!(
            "in blocks   {weights} weights of the language model in {block_type}, {}",
            megabytes(bytes)
        ))?;
    }
    say(&format!(
        "pictures    {} px for the language model ({} tokens), {}",
        config.vision_tower.image_size,
        config.image_tokens(),
        config
            .image_encoder
            .as_ref()
            .map_or("no masks".to_owned(), |sam| format!(
                "{} px for masks",
                sam.image_size
            ))
    ))?;
    say(&format!(
        "sounds      {}",
        config
            .audio
            .as_ref()
            .map_or("none".to_owned(), |audio| heard(&audio.preprocessor))
    ))?;
    say(&format!(
        "language    {} words and pieces, context of {} tokens",
        config.llm.vocab_size, config.llm.max_position_embeddings
    ))?;
    say(&format!(
        "answers     {}, {}",
        match config.candidates.count {
            1 => "the likeliest".to_owned(),
            count => format!("the best of {count} at most"),
        },
        match config.makes_masks() {
            true => format!(
                "masks with an estimated IoU below {} left out",
                config.min_mask_score
            ),
            false => "in words alone: this model makes no masks".to_owned(),
        }
    ))?;
    say_device::<B>(common, device, opened.load)?;
    let needs = MemoryEstimate::new(
        config,
        &anyref.model,
        &checkpoint,
        model::weights(common),
        device,
    )?;
    say(&format!("needs       {needs}"))?;
    say_memory()
}

/// Prints what a SAM alone is made of.
fn sam<B: Backend>(common: &Common, published: &Published, device: &B::Device) -> Result<()> {
    let start = Instant::now();
    let sam = SamModel::<B>::of_published(published, model::weights(common), device)?;
    let load = start.elapsed();
    say(&format!("model       {}", published.path.display()))?;
    say(&format!("preset      {}", sam.name()))?;
    say(&format!("parameters  {}", millions(sam.num_params())))?;
    for (name, count) in sam.part_sizes() {
        say(&format!("  {name:<34}{:>9}", millions(count)))?;
    }
    let computed = sam.prompt_encoder.no_mask_embed.weight.val().dtype();
    say(&format!(
        "weights     {}, computed as {computed:?}",
        stored(&published.checkpoint)
    ))?;
    say(&format!("pictures    {} px for masks", sam.image_size()))?;
    say("answers     masks for points, boxes and masks; no language model")?;
    say_device::<B>(common, device, load)?;
    say_memory()
}

/// Size of the weights and their types in a file.
fn stored(checkpoint: &Checkpoint) -> String {
    let (mut stored, mut bytes) = (BTreeMap::<String, usize>::new(), 0);
    for tensor in checkpoint.tensors() {
        let plain = || format!("{:?}", tensor.dtype);
        let name = tensor
            .block_type()
            .map_or_else(plain, |block| block.to_string());
        *stored.entry(name).or_default() += tensor.num_elements();
        bytes += tensor.stored_bytes();
    }
    let stored: Vec<_> = stored
        .iter()
        .map(|(dtype, n)| format!("{} {dtype}", millions(*n)))
        .collect();
    format!("{} stored as {}", megabytes(bytes), stored.join(", "))
}

/// Formats of the language model's weights in blocks, with their number and bytes.
fn in_blocks<B: Backend>(model: &AnyRefModel<B>) -> Vec<(BlockType, usize, usize)> {
    let mut formats: Vec<(BlockType, usize, usize)> = Vec::new();
    for tensor in model.llm.block_tensors("") {
        let Some(block_type) = tensor.block_type() else {
            continue;
        };
        let bytes = tensor.bytes() as usize;
        match formats.iter_mut().find(|(known, ..)| *known == block_type) {
            Some((_, weights, all)) => (*weights, *all) = (*weights + 1, *all + bytes),
            None => formats.push((block_type, 1, bytes)),
        }
    }
    formats
}

fn say_device<B: Backend>(common: &Common, device: &B::Device, load: Duration) -> Result<()> {
    say(&format!(
        "backend     {} ({})",
        common.backend,
        B::name(device)
    ))?;
    say(&format!("loaded in   {} ms", load.as_millis()))
}

fn say_memory() -> Result<()> {
    match memory() {
        Some((now, peak)) => say(&format!(
            "memory      {} now, {} at most",
            megabytes(now),
            megabytes(peak)
        )),
        None => Ok(()),
    }
}

/// The part of a sound that the model hears, in words.
fn heard(sounds: &AudioPreprocessorConfig) -> String {
    format!(
        "{} kHz, {} {} of {} s",
        f64::from(sounds.sample_rate) / 1000.0,
        sounds.num_clips,
        if sounds.num_clips == 1 {
            "clip"
        } else {
            "clips"
        },
        sounds.clip_seconds
    )
}

/// Prints the backends of this build with their devices.
pub fn devices() -> Result<()> {
    for backend in BackendName::ALL {
        match backend.devices() {
            Ok(devices) => {
                for (number, device) in devices.iter().enumerate() {
                    say(&format!("{backend:<7} {number}: {device}"))?;
                }
            }
            Err(error) => say(&format!(
                "{backend:<7} {}",
                failure::one_line(&error.into())
            ))?,
        }
    }
    Ok(())
}

/// Parameters by part.
fn parts<B: Backend>(model: &AnyRefModel<B>) -> Vec<(&'static str, usize)> {
    let projectors = model.mm_projector.num_params()
        + count(&model.audio_projector)
        + count(&model.box_projector);
    vec![
        ("CLIP vision tower", model.vision_tower.num_params()),
        ("SAM image encoder", count(&model.image_encoder)),
        ("ImageBind audio encoder", count(&model.audio_encoder)),
        ("projectors", projectors),
        ("region encoder", count(&model.region_encoder)),
        (
            "language model",
            model.llm.num_params() + model.llm.block_values(),
        ),
        ("object head", count(&model.text_hidden_fcs)),
        ("prompt encoder", count(&model.prompt_encoder)),
        ("mask decoder", count(&model.mask_decoder)),
    ]
}

/// Parameters of a part that not every model has.
fn count<B: Backend>(part: &Option<impl Module<B>>) -> usize {
    part.as_ref().map_or(0, Module::num_params)
}
