//! `anyref info`: the model's parts, types and memory, and the backends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::failure;
use anyhow::Result;
use anyref_audio::AudioPreprocessorConfig;
use anyref_core::official::Published;
use anyref_core::quantization::BlockType;
use anyref_core::{
    AnyRef, AnyRefModel, BackendName, EncoderFormat, MaskImageEncoder, MemoryEstimate, ModelPlace,
    SamModel, Tower, TowerConfig,
};
use anyref_weights::{Checkpoint, OutputTensor};
use burn::module::Module;
use burn::tensor::backend::Backend;

use crate::args::Common;
use crate::memory::memory;
use crate::output::say;
use crate::units::{megabytes, millions};
use crate::{model, nano};

/// Prints the parts of the model.
pub fn run<B: Backend>(common: &Common, device: &B::Device) -> Result<()> {
    let place = model::located(common)?;
    if let Some(ModelPlace::Sam(published)) = &place {
        return sam::<B>(common, published, device);
    }
    let opened = model::open_at::<B>(common, place, device)?;
    let (source, checkpoint) = match (common.model(), &opened.place) {
        (Some(given), Some(place)) => (
            given.display().to_string(),
            AnyRef::<B>::checkpoint(place, &opened.companions)?,
        ),
        _ => {
            let checkpoint = Checkpoint::from_bytes("model.safetensors", nano::files()?.weights)?;
            ("built in".to_owned(), checkpoint)
        }
    };
    let anyref = &opened.anyref;
    let config = &anyref.config;
    say(&format!("model       {source}"))?;
    say(&format!("preset      {}", config.name))?;
    let parts = parts(&anyref.model);
    let all: usize = parts.iter().map(|(_, count)| count).sum();
    say(&format!("parameters  {}", millions(all)))?;
    for (name, count) in parts {
        say(&format!("  {name:<34}{:>9}", millions(count)))?;
    }
    // Norms have the data type of the values.
    let computed = anyref.model.llm.model.norm.weight.val().dtype();
    say(&format!(
        "weights     {}, computed as {computed:?}",
        stored(&checkpoint)
    ))?;
    let encoders = anyref.model.encoder_block_tensors().into_iter();
    let (audio, pictures): (Vec<_>, Vec<_>) =
        encoders.partition(|tensor| tensor.name.starts_with("audio_encoder."));
    for (part, tensors, asked) in [
        (
            "the language model",
            anyref.model.llm.block_tensors(""),
            None,
        ),
        ("the picture encoders", pictures, common.quantize_vision),
        ("ImageBind", audio, common.quantize_audio),
    ] {
        for (block_type, weights, bytes) in in_blocks(&tensors) {
            // As a file would hold them.
            let integers = asked.filter(|&form| form == EncoderFormat::Int8);
            let form = integers.unwrap_or(block_type.into());
            say(&format!(
                "in blocks   {weights} weights of {part} in {form}, {}",
                megabytes(bytes)
            ))?;
        }
    }
    say(&format!(
        "pictures    {} for the language model ({} tokens), {}",
        squares(&config.vision_tower),
        config.image_tokens(),
        config
            .image_encoder
            .as_ref()
            .map_or("no masks".to_owned(), |sam| format!(
                "{} px for masks",
                sam.image_size()
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
        model::weights(common)?,
        device,
    )?;
    say(&format!("needs       {needs}"))?;
    say_memory()
}

/// Prints the parts of a SAM alone.
fn sam<B: Backend>(common: &Common, published: &Published, device: &B::Device) -> Result<()> {
    let start = Instant::now();
    let sam = SamModel::<B>::of_published(published, model::weights(common)?, device)?;
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

/// Size and data types of the weights in a file.
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

/// Formats of weights in blocks, with their number and bytes.
fn in_blocks(tensors: &[OutputTensor]) -> Vec<(BlockType, usize, usize)> {
    let mut formats: Vec<(BlockType, usize, usize)> = Vec::new();
    for tensor in tensors {
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

/// Squares that the language model sees of a picture.
fn squares(tower: &TowerConfig) -> String {
    let side = tower.image_size();
    match tower.tiled() {
        None => format!("{side} px"),
        Some(tiles) => format!("up to {} tiles of {side} px and the whole", tiles.max_tiles),
    }
}

/// Input of the audio encoder in words.
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
    // Of parameters alone, not of weights in blocks.
    let tensors = model.encoder_block_tensors();
    let in_blocks = |part: &str| -> usize {
        let tensors = tensors
            .iter()
            .filter(|tensor| tensor.name.starts_with(part));
        tensors
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    };
    let tower = match &model.vision_tower {
        Tower::Clip(_) => "CLIP vision tower",
        Tower::InternVit(_) => "InternViT vision tower",
    };
    let encoder = match &model.image_encoder {
        Some(MaskImageEncoder::Sam2(_)) => "SAM 2 image encoder",
        _ => "SAM image encoder",
    };
    vec![
        (
            tower,
            model.vision_tower.num_params() + in_blocks("vision_tower."),
        ),
        (
            encoder,
            count(&model.image_encoder) + in_blocks("image_encoder."),
        ),
        (
            "ImageBind audio encoder",
            count(&model.audio_encoder) + in_blocks("audio_encoder."),
        ),
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

/// Number of parameters of an optional part.
fn count<B: Backend>(part: &Option<impl Module<B>>) -> usize {
    part.as_ref().map_or(0, Module::num_params)
}
