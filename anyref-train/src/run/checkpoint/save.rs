//! Writing a checkpoint, and deleting those that it replaces.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyref_weights::{SaveOptions, output_tensors, sync_folder, write_atomic, write_checkpoint};
use burn::tensor::{DType, backend::AutodiffBackend};
use safetensors::tensor::{Dtype, TensorView};

use super::Position;
use super::error::CheckpointError;
use super::files::{LIVE, MODEL, OPTIMIZER, POSITION};
use super::list::{list, place_of};
use crate::file_error::FileError;
use crate::run::frozen_blocks::LANGUAGE_MODEL;
use crate::run::optimizer::Optimizer;
use crate::trainee::Trainee;

/// Contents of a checkpoint.
pub(in crate::run) struct State<'a, B: AutodiffBackend> {
    /// The model: the weights as the optimizer left them, or their moving average.
    pub(in crate::run) model: &'a Trainee<B::InnerBackend>,
    /// Parameters, by name, that are left out of it.
    pub(in crate::run) left_out: &'a BTreeSet<String>,
    /// The weights as the optimizer left them, and the names of the trained ones, where the model
    /// is their average.
    pub(in crate::run) live: Option<(&'a Trainee<B>, &'a BTreeSet<String>)>,
    /// The optimizer, with its moments.
    pub(in crate::run) optimizer: &'a Optimizer<B>,
    /// Position of the run; the optimizer's updates are filled in.
    pub(in crate::run) position: &'a Position,
}

/// Writes a checkpoint folder, and deletes all but it and those right before it, `keep` in all.
///
/// # Errors
/// As [`write_checkpoint`], when another file or folder cannot be written, renamed or deleted, and
/// when a checkpoint in `folder` has no `position.json`.
pub(in crate::run) fn save<B: AutodiffBackend>(
    folder: &Path,
    state: &State<'_, B>,
    keep: usize,
) -> Result<PathBuf, CheckpointError> {
    let position = state.position;
    let name = format!("stage-{}-step-{:08}", position.stage, position.step);
    let (target, partial) = (folder.join(&name), folder.join(format!("{name}.partial")));
    // Files of an attempt that was killed would become part of this one.
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(FileError::of("delete", &partial))?;
    }
    fs::create_dir_all(&partial).map_err(FileError::of("create", &partial))?;
    if let Err(error) = write(&partial, state) {
        // The partial checkpoint is deleted, so that a full disk gets its space back.
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    if target.exists() {
        discard(&target)?;
    }
    fs::rename(&partial, &target).map_err(FileError::of("rename to", &target))?;
    // Older checkpoints are deleted for this one.
    sync_folder(folder)?;
    prune(folder, &target, keep)?;
    Ok(target)
}

/// Writes the files of a checkpoint.
fn write<B: AutodiffBackend>(partial: &Path, state: &State<'_, B>) -> Result<(), CheckpointError> {
    let mut position = state.position.clone();
    let options = SaveOptions::default();
    let mut weights = output_tensors::<B::InnerBackend, _>(state.model, &options);
    weights.extend(state.model.anyref.llm.block_tensors(LANGUAGE_MODEL));
    weights.retain(|tensor| !state.left_out.contains(&tensor.name));
    write_checkpoint(partial.join(MODEL), weights, &options)?;
    if let Some((module, trained)) = state.live {
        let mut weights = output_tensors::<B, _>(module, &options);
        weights.retain(|tensor| trained.contains(&tensor.name));
        write_checkpoint(partial.join(LIVE), weights, &options)?;
    }

    let mut tensors = Vec::new();
    position.averaged = state.live.is_some();
    for (path, moments) in state.optimizer.moments() {
        position.updates.insert(path.to_owned(), moments.steps);
        let kept = [
            ("first", Some(&moments.first)),
            ("second", moments.second.as_ref()),
        ];
        for (kind, tensor) in kept
            .into_iter()
            .filter_map(|(kind, tensor)| Some((kind, tensor?)))
        {
            let data = tensor.clone().cast(DType::F32).into_data();
            tensors.push((
                format!("{kind}/{path}"),
                data.shape.num_elements(),
                data.bytes,
            ));
        }
    }
    let views = tensors
        .iter()
        .map(|(name, length, bytes)| Ok((name, TensorView::new(Dtype::F32, vec![*length], bytes)?)))
        .collect::<Result<Vec<_>, CheckpointError>>()?;
    let file = partial.join(OPTIMIZER);
    safetensors::serialize_to_file(views, None, &file).map_err(|source| {
        CheckpointError::WriteMoments {
            file: file.clone(),
            source,
        }
    })?;
    reached_the_disk(&file)?;
    write_atomic(
        partial.join(POSITION),
        serde_json::to_vec_pretty(&position)?,
    )?;
    Ok(())
}

/// Waits until a file is on the disk, since older checkpoints are deleted for it.
fn reached_the_disk(file: &Path) -> Result<(), FileError> {
    let synced = fs::File::open(file).and_then(|file| file.sync_all());
    synced.map_err(FileError::of("write", file))
}

/// Deletes all checkpoints but `keep`: `target`, and the last before it. One that is further on was
/// left behind by a run that went on from an earlier step since, and would hide `target`.
fn prune(folder: &Path, target: &Path, keep: usize) -> Result<(), CheckpointError> {
    let (after, up_to): (Vec<_>, Vec<_>) = list(folder)?
        .into_iter()
        .partition(|other| place_of(other) > place_of(target));
    let old = up_to.into_iter().rev().skip(keep.max(1));
    for doomed in after.into_iter().chain(old) {
        discard(&doomed)?;
    }
    Ok(())
}

/// Deletes a checkpoint. Half of one would be taken for damage, so it is renamed first.
fn discard(path: &Path) -> Result<(), FileError> {
    let mut doomed = path.as_os_str().to_owned();
    doomed.push(".old.partial");
    let doomed = PathBuf::from(doomed);
    if doomed.exists() {
        fs::remove_dir_all(&doomed).map_err(FileError::of("delete", &doomed))?;
    }
    fs::rename(path, &doomed).map_err(FileError::of("rename to", &doomed))?;
    fs::remove_dir_all(&doomed).map_err(FileError::of("delete", &doomed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::checkpoint::list::tests::{made, names};

    #[test]
    fn what_was_saved_last_is_kept_however_far_others_are() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let steps = [90, 100, 130, 150].map(|step| format!("stage-0-step-{step:08}"));
        made(folder, &steps.each_ref().map(String::as_str));
        let saved = folder.join(&steps[2]);
        for (keep, left) in [(2, 1..3), (1, 2..3), (0, 2..3)] {
            prune(folder, &saved, keep).unwrap();
            assert_eq!(names(folder), steps[left]);
        }
    }
}
