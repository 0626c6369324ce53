//! ImageBind's audio encoder.

use anyref_audio::imagebind::import;
use anyref_audio::{AudioPreprocessorConfig, ImageBindAudioConfig};
use anyref_weights::LoadOptions;

use super::published::Published;
use super::shapes::Shapes;
use crate::{AudioConfig, Result};

/// Width of a head of the published model.
const HEAD_WIDTH: usize = 64;

/// How the encoder is loaded.
pub fn audio_options() -> LoadOptions {
    import::load_options()
}

/// The encoder's sizes as the weights show them.
///
/// # Errors
/// When the weights are not of this kind, or `config.json` contradicts them or asks for what is not supported.
pub fn audio_config(published: &Published) -> Result<AudioConfig> {
    let checkpoint = &published.checkpoint;
    let shapes = Shapes::new(checkpoint, &audio_options())?;
    let [_, _, hidden] = shapes.get("preprocessor.cls_token")?;
    let [_, _, kernel, _] = shapes.get("preprocessor.rgbt_stem.proj.weight")?;
    let [_, positions, _] = shapes.get("preprocessor.pos_embedding_helper.pos_embed")?;
    let [inner, _] = shapes.get("trunk.blocks.0.mlp.fc1.weight")?;
    let [output, _] = shapes.get("head.proj.weight")?;
    let mut config = ImageBindAudioConfig::new()
        .with_hidden_size(hidden)
        .with_num_hidden_layers(shapes.count("trunk.blocks.")?)
        .with_num_attention_heads((hidden / HEAD_WIDTH).max(1))
        .with_mlp_ratio(inner as f64 / hidden as f64)
        .with_kernel_size(kernel)
        .with_output_dim(output);
    if kernel > config.num_mel_bins || !hidden.is_multiple_of(config.num_attention_heads) {
        let problem = format!("patches of {kernel} and a width of {hidden} are not ImageBind's");
        return Err(shapes.fail(&problem));
    }
    // The published distance first; another when the positions are not its.
    let fits = |stride: &usize| {
        let config = config.clone().with_stride(*stride);
        config.num_patches() + 1 == positions
    };
    let Some(stride) = [config.stride].into_iter().chain(1..=kernel).find(fits) else {
        let problem = format!(
            "{positions} positions do not tile a spectrogram of {}x{}",
            config.num_mel_bins, config.target_length
        );
        return Err(shapes.fail(&problem));
    };
    config.stride = stride;
    if let Some(entry) = checkpoint.get(import::LOG_LOGIT_SCALE)
        && entry.num_elements() == 1
        && let Some(log) = entry.read()?.iter::<f64>().next()
    {
        // Kept in f32, where ln 20 is not exact.
        config.logit_scale = (log.exp() * 1e4).round() / 1e4;
    }
    let preprocessor = AudioPreprocessorConfig::new();
    Ok(AudioConfig {
        encoder: config,
        preprocessor,
    })
}
