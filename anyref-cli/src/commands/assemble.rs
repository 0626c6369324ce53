//! `anyref assemble`: one model folder from published parts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::failure;
use anyhow::{Result, bail};
use anyref_core::{
    Assembled, Assembly, EncoderBlocks, MaskImageEncoderConfig, TiledTowerConfig, TowerConfig,
};
use anyref_weights::hub::local_path;
use burn::tensor::backend::Backend;

use crate::args::{AssembleArguments, Common};
use crate::memory::memory;
use crate::model;
use crate::output::say;
use crate::units::megabytes;

/// Writes the folder and prints its parts.
pub fn run<B: Backend>(common: &Common, arguments: &AssembleArguments) -> Result<()> {
    if common.imagebind.is_none() && !arguments.no_audio {
        bail!(
            "--imagebind is missing: give imagebind_huge.pth, or --no-audio for a model that does not hear"
        );
    }
    if arguments.shard_mb == 0 {
        bail!("--shard-mb is 0: give at least 1");
    }
    let local = |path: &PathBuf| Ok::<_, anyhow::Error>(local_path(path)?.into_owned());
    let optional = |path: &Option<PathBuf>| path.as_ref().map(local).transpose();
    let assembly = Assembly {
        masks: true,
        clip: optional(&common.clip)?,
        sam: optional(&arguments.sam)?,
        imagebind: optional(&common.imagebind)?,
        llm: local(&arguments.llm)?,
        adapter: optional(&arguments.adapter)?,
        dtype: common.dtype.fixed(),
        quantization: model::quantization(common)?,
        encoders: EncoderBlocks {
            vision: common.quantize_vision,
            audio: common.quantize_audio,
        },
        seed: common.seed,
        max_shard_bytes: arguments.shard_mb.saturating_mul(1_000_000),
    };
    // Impossible sizes panic while the parts are laid out.
    let write = || assembly.write::<B>(&arguments.out);
    let assembled = match catch_unwind(AssertUnwindSafe(write)) {
        Ok(result) => result?,
        Err(_) => bail!(
            "the parts describe no possible model ({}); use the configs that came with the weights",
            failure::last_panic()
        ),
    };
    report(&assembled)
}

fn report(assembled: &Assembled) -> Result<()> {
    let Assembled { config, .. } = assembled;
    let llm = &config.llm;
    let tower = match &config.vision_tower {
        TowerConfig::Clip(clip) => format!(
            "CLIP        {} layers of {}, {} px in patches of {}",
            clip.num_hidden_layers, clip.hidden_size, clip.image_size, clip.patch_size
        ),
        TowerConfig::InternVit(TiledTowerConfig {
            encoder, max_tiles, ..
        }) => format!(
            "InternViT   {} layers of {}, up to {max_tiles} tiles of {} px in patches of {}",
            encoder.num_hidden_layers, encoder.hidden_size, encoder.image_size, encoder.patch_size
        ),
    };
    say(&tower)?;
    match &config.image_encoder {
        None => {}
        Some(MaskImageEncoderConfig::Sam(sam)) => say(&format!(
            "SAM         {} layers of {}, {} px in patches of {}",
            sam.num_hidden_layers, sam.hidden_size, sam.image_size, sam.patch_size
        ))?,
        Some(MaskImageEncoderConfig::Sam2(sam)) => say(&format!(
            "SAM 2       {} blocks, {} px",
            sam.backbone_config.blocks_per_stage.iter().sum::<usize>(),
            sam.image_size
        ))?,
    }
    let ears = config.audio.as_ref().map_or("none".into(), |audio| {
        let encoder = &audio.encoder;
        format!(
            "{} layers of {}",
            encoder.num_hidden_layers, encoder.hidden_size
        )
    });
    say(&format!("ImageBind   {ears}"))?;
    say(&format!(
        "language    {} layers of {}, {} tokens ({} new)",
        llm.num_hidden_layers, llm.hidden_size, llm.vocab_size, assembled.new_tokens
    ))?;
    if assembled.merged > 0 {
        say(&format!(
            "adapter     folded into {} weights",
            assembled.merged
        ))?;
    }
    if !assembled.fresh.is_empty() {
        say(&format!("untrained   {}", assembled.fresh.join(", ")))?;
    }
    if assembled.in_blocks > 0 {
        let floats = assembled.tensors - assembled.in_blocks;
        say(&format!(
            "quantised   {} weights in blocks, {floats} tensors in floats",
            assembled.in_blocks
        ))?;
    }
    if let [first, rest @ ..] = &assembled.fell_back[..] {
        say(&format!(
            "fell back   {first} and {} more have no rows of whole blocks: q8_0 or floats",
            rest.len()
        ))?;
    }
    say(&format!(
        "written     {} tensors, {} in {}",
        assembled.tensors,
        megabytes(assembled.bytes as usize),
        assembled.weights.display()
    ))?;
    if let Some((_, peak)) = memory() {
        say(&format!("memory      {} at most", megabytes(peak)))?;
    }
    Ok(())
}
