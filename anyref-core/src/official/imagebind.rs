//! ImageBind's audio encoder and text tower.

use anyref_audio::imagebind::import;
use anyref_audio::{AudioPreprocessorConfig, ImageBindAudioConfig, ImageBindTextConfig};
use anyref_weights::{Checkpoint, LoadOptions};

use super::published::Published;
use super::shapes::Shapes;
use crate::{AudioConfig, Result};

/// Width of a head of the published model, in both.
const HEAD_WIDTH: usize = 64;

/// Options of loading the encoder.
pub fn audio_options() -> LoadOptions {
    import::load_options()
}

/// Configuration with the encoder's sizes from the weights.
///
/// # Errors
/// When the weights are not of this kind, or `config.json` contradicts them or uses unsupported
/// features.
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
    if let Some(log) = scalar(checkpoint, import::LOG_LOGIT_SCALE)? {
        // Kept in f32, where ln 20 is not exact.
        config.logit_scale = (log.exp() * 1e4).round() / 1e4;
    }
    let preprocessor = AudioPreprocessorConfig::new();
    Ok(AudioConfig {
        encoder: config,
        preprocessor,
    })
}

/// Options of loading the text tower.
pub fn text_options() -> LoadOptions {
    import::text_load_options()
}

/// Returns whether the checkpoint has the text tower beside the audio encoder.
pub fn has_text(published: &Published) -> bool {
    let mut tensors = published.checkpoint.tensors();
    tensors.any(|tensor| tensor.name.starts_with("modality_trunks.text."))
}

/// Sizes of the text tower as the weights show them, and the learned length of its embeddings.
///
/// # Errors
/// When the weights hold no text tower or not the whole of it.
pub fn text_config(published: &Published) -> Result<ImageBindTextConfig> {
    let checkpoint = &published.checkpoint;
    let shapes = Shapes::new(checkpoint, &text_options())?;
    if !has_text(published) {
        return Err(shapes.fail(
            "holds no text tower (modality_trunks.text); give the whole imagebind_huge.pth",
        ));
    }
    let [vocabulary, hidden] = shapes.get("preprocessor.token_embedding.weight")?;
    let [_, context, _] = shapes.get("preprocessor.pos_embed")?;
    let [inner, _] = shapes.get("trunk.blocks.0.mlp.fc1.weight")?;
    let [output, _] = shapes.get("head.proj.weight")?;
    let Some(log) = scalar(checkpoint, import::TEXT_LOG_LOGIT_SCALE)? else {
        let name = import::TEXT_LOG_LOGIT_SCALE;
        return Err(shapes.fail(&format!("no scalar `{name}`; download it again")));
    };
    let config = ImageBindTextConfig::new()
        .with_hidden_size(hidden)
        .with_num_hidden_layers(shapes.count("trunk.blocks.")?)
        .with_num_attention_heads((hidden / HEAD_WIDTH).max(1))
        .with_mlp_ratio(inner as f64 / hidden as f64)
        .with_vocab_size(vocabulary)
        .with_context_length(context)
        .with_output_dim(output)
        .with_logit_scale(log.exp());
    match config.validate() {
        Ok(()) => Ok(config),
        Err(error) => Err(shapes.fail(&error.to_string())),
    }
}

/// The value of a tensor that has one alone.
fn scalar(checkpoint: &Checkpoint, name: &str) -> Result<Option<f64>> {
    match checkpoint.get(name) {
        Some(entry) if entry.num_elements() == 1 => Ok(entry.read()?.iter::<f64>().next()),
        _ => Ok(None),
    }
}
