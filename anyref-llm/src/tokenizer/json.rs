//! Reading of `tokenizer.json`, with checks for faults that make the tokenizer library panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::normalizers::Precompiled;

/// Reads a `tokenizer.json`. Three kinds of damage make the tokenizer library panic and are
/// detected beforehand: invalid JSON inside a decoder, a character map that cannot be decoded, and
/// merges shorter than the prefix to be removed. Any other panic of the library also becomes an
/// error, where panics unwind.
///
/// # Errors
/// The reason, when the bytes are not a valid file.
pub(super) fn read(bytes: &[u8]) -> Result<Tokenizer, String> {
    check(bytes)?;
    match catch_unwind(AssertUnwindSafe(|| Tokenizer::from_bytes(bytes))) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizer library fails on it; take the model's own".into()),
    }
}

fn check(bytes: &[u8]) -> Result<(), String> {
    let file: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if let Some(normalizer) = file.get("normalizer") {
        check_character_maps(normalizer)?;
    }
    file.get("model").map_or(Ok(()), check_merges)
}

/// Decodes every character map of a normaliser, including nested ones.
fn check_character_maps(normalizer: &Value) -> Result<(), String> {
    let is_map = normalizer.get("type").and_then(Value::as_str) == Some("Precompiled");
    if is_map && let Err(error) = serde_json::from_str::<Precompiled>(&normalizer.to_string()) {
        return Err(format!("its `precompiled_charsmap` is damaged: {error}"));
    }
    let inner = normalizer.get("normalizers").and_then(Value::as_array);
    inner
        .into_iter()
        .flatten()
        .try_for_each(check_character_maps)
}

/// Checks that the second token of each merge is at least as long as `continuing_subword_prefix`,
/// which is removed from it.
fn check_merges(model: &Value) -> Result<(), String> {
    let prefix = model
        .get("continuing_subword_prefix")
        .and_then(Value::as_str);
    let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else {
        return Ok(());
    };
    let merges = model.get("merges").and_then(Value::as_array);
    for merge in merges.into_iter().flatten() {
        let second = match merge {
            Value::String(line) => line.split_once(' ').map(|(_, second)| second),
            pair => pair.get(1).and_then(Value::as_str),
        };
        if second.is_some_and(|second| second.get(prefix.len()..).is_none()) {
            return Err(format!(
                "the merge {merge} has no token after `continuing_subword_prefix` {prefix:?}"
            ));
        }
    }
    Ok(())
}
