//! Frozen weights of the language model in blocks, below adapters that are trained (QLoRA, Dettmers
//! et al. 2023, arXiv:2305.14314).

use std::collections::BTreeMap;

use anyref_core::quantization::Quantization;
use burn::tensor::backend::Backend;

use crate::config::{ConfigError, TrainConfig};
use crate::trainee::Trainee;

/// Beginning of the names of the language model's parameters in a [`Trainee`].
pub(super) const LANGUAGE_MODEL: &str = "anyref.llm.";

/// Formats of the language model's weights; none where all stay floats.
pub(super) fn quantization(config: &TrainConfig) -> Option<Quantization> {
    config.quantize.map(Quantization::new)
}

/// Weights that the configuration wants in blocks, by name, with their bytes.
pub(super) fn bytes_in_blocks<B: Backend>(
    config: &TrainConfig,
    trainee: &Trainee<B>,
) -> BTreeMap<String, u64> {
    let bytes = quantization(config).map(|rules| trainee.anyref.llm.quantized_bytes(&rules));
    let bytes = bytes.unwrap_or_default().into_iter();
    bytes
        .map(|(name, bytes)| (format!("{LANGUAGE_MODEL}{name}"), bytes))
        .collect()
}

/// Refuses stages that train weights that are to be in blocks.
pub(super) fn check<B: Backend>(
    config: &TrainConfig,
    trainee: &Trainee<B>,
) -> Result<(), ConfigError> {
    let Some(block_type) = config.quantize else {
        return Ok(());
    };
    let blocks = bytes_in_blocks(config, trainee);
    if blocks.is_empty() {
        return Err(ConfigError::NoWholeBlocks { block_type });
    }
    for stage in &config.stages {
        let patterns = stage.trainable_patterns()?;
        let trained = blocks
            .keys()
            .find(|name| patterns.iter().any(|pattern| pattern.is_match(name)));
        if let Some(name) = trained {
            return Err(ConfigError::TrainedInBlocks {
                stage: stage.kind,
                name: name.clone(),
                block_type,
            });
        }
    }
    Ok(())
}

/// Rounds weights that are floats yet: those that the run draws or has from `initial`.
pub(super) fn quantized<B: Backend>(config: &TrainConfig, mut trainee: Trainee<B>) -> Trainee<B> {
    if let Some(rules) = quantization(config) {
        trainee.anyref.llm.quantize(&rules);
    }
    trainee
}
