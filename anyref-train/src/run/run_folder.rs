//! Configuration and tokenizer in the run's folder, against which a resumed run is checked.

use std::path::Path;

use anyref_llm::Tokenizer;
use anyref_weights::write_atomic;

use super::context::TOKENIZER;
use super::error::{Result, RunError};
use crate::config::TrainConfig;

/// File name of the run's configuration.
const CONFIG: &str = "config.json";

/// Fields that cannot change after the first start of a run.
const FIXED: [&str; 9] = [
    "seed",
    "model",
    "start",
    "tiles",
    "initial",
    "quantize",
    "vocabulary",
    "scenes",
    "shapes",
];

/// Fields of a model that affect answers only, not training.
const ANSWERING: [&str; 4] = [
    "candidates",
    "max_history_turns",
    "max_new_tokens",
    "min_mask_score",
];

/// Refuses to resume a run with another model or other data.
pub(super) fn check_config(run: &Path, config: &TrainConfig) -> Result<()> {
    let file = run.join(CONFIG);
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Ok(());
    };
    let before: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| RunError::Damaged { file, source })?;
    // Compared through text, because 32-bit numbers read back differ from those never written.
    let now: serde_json::Value = serde_json::from_str(&serde_json::to_string(config)?)?;
    let [before, now] = [before, now].map(without_answering);
    for field in FIXED {
        if before[field] != now[field] {
            let run = run.into();
            return Err(RunError::OtherField { run, field });
        }
    }
    let stages = [&before, &now].map(|config| config["stages"].as_array());
    if let [Some(before), Some(now)] = stages
        && before.iter().zip(now).any(|(a, b)| a["data"] != b["data"])
    {
        return Err(RunError::OtherData { run: run.into() });
    }
    Ok(())
}

fn without_answering(mut config: serde_json::Value) -> serde_json::Value {
    if let Some(model) = config["model"].as_object_mut() {
        model.retain(|field, _| !ANSWERING.contains(&field.as_str()));
    }
    config
}

/// Saves configuration and tokenizer in the run's folder. An existing tokenizer is kept, because
/// others may be reading it.
pub(super) fn write_config(run: &Path, config: &TrainConfig, tokenizer: &Tokenizer) -> Result<()> {
    let file = run.join(CONFIG);
    let text = serde_json::to_string_pretty(config)? + "\n";
    // A resumed run writes nothing here, so that a full disk does not stop it.
    if std::fs::read_to_string(&file).ok().as_ref() != Some(&text) {
        write_atomic(&file, &text)?;
    }
    let file = run.join(TOKENIZER);
    if !file.is_file() {
        tokenizer.save(&file)?;
    }
    Ok(())
}
