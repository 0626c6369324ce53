//! `anyref info FILE.gguf`: metadata and tensors of a GGUF file, and support for its model.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use anyref_llm::{LlamaConfig, Tokenizer};
use anyref_weights::{Checkpoint, GgufMetadata, GgufValue, TensorEntry};

use crate::failure;
use crate::output::say;
use crate::units::{megabytes, millions};

/// Longest text of the metadata shown, in characters.
const SHOWN: usize = 60;

/// Lists metadata and tensors.
pub fn run(path: &Path) -> Result<()> {
    let checkpoint = Checkpoint::open(path)?;
    let metadata = GgufMetadata::open(path)?;
    let (mut types, mut elements, mut bytes) = (BTreeMap::<&str, usize>::new(), 0, 0);
    for tensor in checkpoint.tensors() {
        *types.entry(type_name(tensor)).or_default() += 1;
        elements += tensor.num_elements();
        bytes += tensor.stored_bytes();
    }
    let types: Vec<_> = types
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    say(&format!(
        "tensors     {} ({}), {} values, {}",
        checkpoint.len(),
        types.join(", "),
        millions(elements),
        megabytes(bytes)
    ))?;
    let supported = match LlamaConfig::from_gguf(&metadata, &checkpoint) {
        Ok(config) => format!(
            "{} layers of width {}, context of {} tokens",
            config.num_hidden_layers, config.hidden_size, config.max_position_embeddings
        ),
        Err(error) => format!("not supported: {}", failure::one_line(&error.into())),
    };
    say(&format!("language    {supported}"))?;
    let tokenizer = match Tokenizer::from_gguf(&metadata) {
        Ok(tokenizer) => format!("{} words and pieces", tokenizer.vocab_size()),
        Err(error) => format!("not supported: {}", failure::one_line(&error.into())),
    };
    say(&format!("tokenizer   {tokenizer}"))?;
    for (key, value) in metadata.iter() {
        say(&format!("{key} = {}", shown(value)))?;
    }
    let longest = checkpoint.tensors().map(|tensor| tensor.name.len()).max();
    let width = longest.unwrap_or(0).min(100);
    for tensor in checkpoint.tensors() {
        let (name, shape) = (&tensor.name, &tensor.shape);
        say(&format!(
            "{name:<width$}  {:<4} {shape:?}",
            type_name(tensor)
        ))?;
    }
    Ok(())
}

fn type_name(tensor: &TensorEntry) -> &'static str {
    match tensor.block_type() {
        Some(block) => block.name(),
        None => tensor.dtype.name(),
    }
}

/// Value on one line.
fn shown(value: &GgufValue) -> String {
    match value {
        GgufValue::Unsigned(value) => value.to_string(),
        GgufValue::Signed(value) => value.to_string(),
        GgufValue::Float(value) => value.to_string(),
        GgufValue::Bool(value) => value.to_string(),
        GgufValue::Text(text) => {
            let line = text
                .chars()
                .take(SHOWN)
                .map(|c| if c.is_control() { ' ' } else { c });
            let more = if text.chars().nth(SHOWN).is_some() {
                "..."
            } else {
                ""
            };
            format!("{}{more}", line.collect::<String>())
        }
        GgufValue::Array(values) => format!("{} values", values.len()),
        other => format!("{other:?}"),
    }
}
