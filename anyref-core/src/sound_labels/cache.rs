//! Cache of label embeddings on disk, which saves running the text tower again.

use std::path::{Path, PathBuf};

use anyref_weights::{
    Checkpoint, OutputTensor, SaveOptions, StableHash, renamed_tensors, write_checkpoint,
};
use burn::tensor::{DType, TensorData};

use super::embeddings::LabelEmbeddings;
use crate::official::text_options;
use crate::{Error, Result};

/// Version of the cache, increased when earlier embeddings become invalid.
const VERSION: u64 = 1;
/// Name of the tensor.
const NAME: &str = "label_embeddings";
/// Maximum values of the tensors that identify the text tower: norms, biases, positions and head,
/// but neither its matrices nor its token embeddings.
const MOST_VALUES: usize = 1 << 20;

/// Cache file for the embeddings of these prompts by this tower.
pub(super) fn cache_file(
    folder: &Path,
    checkpoint: &Checkpoint,
    dtype: DType,
    prompts: &[Vec<u32>],
) -> Result<PathBuf> {
    let mut hash = StableHash::new().number(VERSION).bytes(dtype.name());
    let tower = renamed_tensors(checkpoint, &text_options())?;
    let mut small: Vec<_> = tower
        .into_iter()
        .filter(|(name, entry)| {
            let own = entry.name.contains(".text.") && name != "preprocessor.mask";
            own && entry.num_elements() <= MOST_VALUES
        })
        .collect();
    small.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, entry) in small {
        hash = hash.bytes(name).bytes(entry.read()?.as_bytes());
    }
    for prompt in prompts {
        hash = prompt
            .iter()
            .fold(hash.number(prompt.len() as u64), |hash, &id| {
                hash.number(id.into())
            });
    }
    let name = format!("sound-labels-{:016x}.safetensors", hash.finish());
    Ok(folder.join(name))
}

/// Reads the embeddings of a file, if it exists and is intact.
pub(super) fn read_cache(path: &Path, labels: usize, width: usize) -> Option<LabelEmbeddings> {
    let checkpoint = path.is_file().then(|| Checkpoint::open(path))?.ok()?;
    let entry = checkpoint.get(NAME)?;
    if entry.shape != [labels, width] || entry.dtype != DType::F32 {
        return None;
    }
    let values = entry.read().ok()?.to_vec().ok()?;
    Some(LabelEmbeddings { values, width })
}

/// Writes the embeddings.
pub(super) fn write_cache(path: &Path, embeddings: &LabelEmbeddings) -> Result<()> {
    if let Some(folder) = path.parent() {
        let problem =
            |e: std::io::Error| Error::folder(folder, format!("{e}; give another folder"));
        std::fs::create_dir_all(folder).map_err(problem)?;
    }
    let shape = [embeddings.values.len() / embeddings.width, embeddings.width];
    let values = TensorData::new(embeddings.values.clone(), shape);
    let tensor = OutputTensor::new(NAME, DType::F32, shape, move || Ok(values.clone()));
    write_checkpoint(path, vec![tensor], &SaveOptions::default())?;
    Ok(())
}
