//! Models split into several GGUF files, as by `llama-gguf-split`.

use std::path::{Path, PathBuf};

use super::metadata::GgufMetadata;
use crate::error::{Error, Result};

/// Maximum number of files of one model.
const MAX_FILES: u64 = 10_000;

/// Other files of the model to which `path` belongs by its `metadata`; empty for a model in one
/// file.
pub(super) fn others(path: &Path, metadata: &GgufMetadata) -> Result<Vec<PathBuf>> {
    let count = metadata.integer("split.count").unwrap_or(1);
    if count <= 1 {
        return Ok(Vec::new());
    }
    if count > MAX_FILES {
        let reason = format!("a model of {count} files");
        return Err(Error::corrupt(path, reason));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = metadata.integer("split.no").unwrap_or(0);
    let suffix = |number: u64| format!("-{:05}-of-{count:05}.gguf", number + 1);
    let Some(prefix) = name.strip_suffix(suffix(number).as_str()) else {
        let reason = format!("part {} of {count} of a model", number + 1);
        let remedy = format!("call it by its name with {} at its end", suffix(number));
        return Err(Error::unsupported(path, reason, remedy));
    };
    let paths = (0..count).filter(|&other| other != number).map(|other| {
        let shard = format!("{prefix}{}", suffix(other));
        let part = path.with_file_name(&shard);
        match part.is_file() {
            true => Ok(part),
            false => Err(Error::ShardMissing {
                index: path.into(),
                shard,
            }),
        }
    });
    paths.collect()
}
