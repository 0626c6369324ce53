//! Checkpoints that survive a kill: written beside, then renamed. They hold what a run cannot take from where it
//! started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use anyref_weights::{
    Checkpoint, LoadOptions, SaveOptions, load_module, local_path, output_tensors, parameters,
    write_checkpoint,
};
use burn::module::{AutodiffModule, Module};
use burn::tensor::{DType, Tensor, backend::AutodiffBackend};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use super::optimizer::{Moments, Optimizer};
use super::precision::LossScale;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Index of the stage in the config.
    pub stage: usize,
    /// Steps of it that are done.
    pub step: u64,
    /// Updates by parameter, for AdamW's bias correction.
    pub updates: BTreeMap<String, usize>,
    /// Best validation score of the stage so far.
    pub best: Option<f64>,
    /// What the loss is scaled by, where it is.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
}

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const LIVE: &str = "live.safetensors";
const POSITION: &str = "position.json";

/// What a checkpoint holds.
pub struct State<'a, B: AutodiffBackend, M: AutodiffModule<B>> {
    /// The model: the weights that the optimizer left, or where there is one their running mean.
    pub model: &'a M::InnerModule,
    /// Parameters, by name, that are left out of it.
    pub left_out: &'a BTreeSet<String>,
    /// The weights that the optimizer left, and the names of those that it changes, where the model is another.
    pub live: Option<(&'a M, &'a BTreeSet<String>)>,
    /// What the optimizer remembers.
    pub optimizer: &'a Optimizer<B>,
    /// Where the run stands; the optimizer's updates are filled in.
    pub position: &'a Position,
}

/// Writes a checkpoint folder, and deletes all but it and those right before it, `keep` in all.
///
/// # Errors
/// As [`write_checkpoint`], when another file or folder cannot be written, renamed or deleted, and when a checkpoint in
/// `folder` has no `position.json`.
pub fn save<B: AutodiffBackend, M: AutodiffModule<B>>(
    folder: &Path,
    state: &State<'_, B, M>,
    keep: usize,
) -> Result<PathBuf> {
    let mut position = state.position.clone();
    let name = format!("stage-{}-step-{:08}", position.stage, position.step);
    let (target, partial) = (folder.join(&name), folder.join(format!("{name}.partial")));
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let options = SaveOptions::default();
    let mut weights = output_tensors::<B::InnerBackend, _>(state.model, &options);
    weights.retain(|tensor| !state.left_out.contains(&tensor.name));
    write_checkpoint(partial.join(MODEL), weights, &options)?;
    if let Some((module, trained)) = state.live {
        let mut weights = output_tensors::<B, M>(module, &options);
        weights.retain(|tensor| trained.contains(&tensor.name));
        write_checkpoint(partial.join(LIVE), weights, &options)?;
    }

    let mut tensors = Vec::new();
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
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, None, &partial.join(OPTIMIZER))
        .with_context(|| format!("cannot write {}", partial.join(OPTIMIZER).display()))?;
    fs::write(
        partial.join(POSITION),
        serde_json::to_vec_pretty(&position)?,
    )?;

    if target.exists() {
        discard(&target)?;
    }
    fs::rename(&partial, &target)
        .with_context(|| format!("cannot rename to {}", target.display()))?;
    prune(folder, &target, keep)?;
    Ok(target)
}

/// Deletes all checkpoints but so many: `target`, and the last before it. One that is further on was left behind by a run
/// that went on from an earlier step since, and nothing would go on from what was saved now.
fn prune(folder: &Path, target: &Path, keep: usize) -> Result<()> {
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
fn discard(path: &Path) -> Result<()> {
    let mut doomed = path.as_os_str().to_owned();
    doomed.push(".old.partial");
    let doomed = PathBuf::from(doomed);
    if doomed.exists() {
        fs::remove_dir_all(&doomed)?;
    }
    fs::rename(path, &doomed)?;
    fs::remove_dir_all(&doomed).with_context(|| format!("cannot delete {}", doomed.display()))
}

/// The newest complete checkpoint, if there is one.
///
/// # Errors
/// When the folder cannot be read, or a checkpoint in it has no `position.json`.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    Ok(if folder.is_dir() {
        list(folder)?.pop()
    } else {
        None
    })
}

/// Where a checkpoint stands.
///
/// # Errors
/// When the checkpoint's `position.json` is missing or damaged.
pub fn position(path: &Path) -> Result<Position> {
    let file = path.join(POSITION);
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let position: Position = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged: delete this checkpoint", file.display()))?;
    Ok(Position {
        best: position.best.map(single),
        ..position
    })
}

/// A score as it can be written and read without a change: JSON's numbers are read back to all but their last digit.
pub(super) fn single(score: f64) -> f64 {
    f64::from(score as f32)
}

/// The parameters of a module that a checkpoint lacks.
///
/// # Errors
/// When the checkpoint's `model.safetensors` is missing or damaged.
pub fn missing<B: AutodiffBackend, M: Module<B>>(
    path: &Path,
    module: &M,
) -> Result<BTreeSet<String>> {
    let checkpoint = Checkpoint::open(path.join(MODEL))?;
    let wanted = parameters::<B, M>(module).into_keys();
    Ok(wanted
        .filter(|name| checkpoint.get(name).is_none())
        .collect())
}

/// Reads a checkpoint's weights into a module that has those in `given` already.
///
/// # Errors
/// When the checkpoint's `model.safetensors` is missing or damaged, lacks a parameter that is not in `given`, or has
/// one that the module lacks or that is of another shape or type there.
pub fn load_weights<B: AutodiffBackend, M: Module<B>>(
    path: &Path,
    mut module: M,
    given: &BTreeSet<String>,
) -> Result<M> {
    let lacks = missing::<B, M>(path, &module)?;
    if let Some(name) = lacks.difference(given).next() {
        bail!(
            "{} has no {name}: it is of another model, or of a run with another `start`",
            path.display()
        );
    }
    let checkpoint = Checkpoint::open(path.join(MODEL))?;
    // In burn's order, as weights are while they are trained: a run that goes on rounds as one without a stop.
    let mut options = LoadOptions::default().with_mapped(false);
    if !lacks.is_empty() {
        options = options.with_allow_missing(".");
    }
    load_module::<B, M>(&mut module, &checkpoint, &options)?;
    Ok(module)
}

/// Reads the weights that the optimizer left into a module that has their running mean; where a checkpoint has none, they
/// are the model's.
///
/// # Errors
/// When the checkpoint's `live.safetensors` is damaged, or has a parameter that the module lacks or that is of another
/// shape or type there.
pub fn load_live<B: AutodiffBackend, M: Module<B>>(path: &Path, mut module: M) -> Result<M> {
    let file = path.join(LIVE);
    if file.is_file() {
        let options = LoadOptions::default()
            .with_mapped(false)
            .with_allow_missing(".");
        load_module::<B, M>(&mut module, &Checkpoint::open(file)?, &options)?;
    }
    Ok(module)
}

/// Reads all of a model folder. What only training has, its heads, stays as it is, and so do adapters
/// that the folder lacks. Returns also the names of what was read.
///
/// # Errors
/// When the folder is not there, cannot be fetched or has no weights that can be read. When these lack a parameter of
/// the module that is neither of its heads nor of adapters, or have one that the module lacks or that is of another
/// shape or type there.
pub fn load_start<B: AutodiffBackend, M: Module<B>>(
    from: &Path,
    mut module: M,
) -> Result<(M, Vec<String>)> {
    let from = &*local_path(from)?;
    ensure!(
        from.is_dir(),
        "`start`: there is no model folder {}",
        from.display()
    );
    let checkpoint = Checkpoint::open(from)?;
    let options = LoadOptions::default()
        .with_cast(Some(DType::F32))
        .with_rename("^", "anyref.")
        .with_allow_missing("^heads\\.")
        .with_allow_missing("\\.lora_[abAB]\\.");
    let report = load_module::<B, M>(&mut module, &checkpoint, &options)
        .with_context(|| format!("`start`: {} is not a model of this kind", from.display()))?;
    Ok((module, report.loaded))
}

/// Reads some parts of a model folder or of a checkpoint; the others stay as they are. Returns also the names of what
/// was read.
///
/// # Errors
/// When there is nothing at `from`, it cannot be read, or the module has none of the parameters of one of the `parts`.
/// When `from` lacks a parameter of such a part, or has one that the module lacks or that is of another shape or type
/// there.
pub fn load_parts<B: AutodiffBackend, M: Module<B>>(
    from: &Path,
    parts: &[String],
    mut module: M,
) -> Result<(M, Vec<String>)> {
    let mut names = Vec::new();
    ensure!(
        from.exists(),
        "`initial`: there is no {}: give a model folder or a checkpoint",
        from.display()
    );
    let checkpoint = Checkpoint::open(if from.join(POSITION).is_file() {
        from.join(MODEL)
    } else {
        from.to_owned()
    })?;
    for part in parts {
        let escaped = regex::escape(part);
        // A model folder has no heads, and so no name in front of the model's own.
        let (whole, wanted) = match part.starts_with("heads.") {
            true => (part.clone(), escaped.clone()),
            false => (format!("anyref.{part}"), format!("(?:anyref\\.)?{escaped}")),
        };
        let options = LoadOptions::default()
            .with_cast(Some(DType::F32))
            .with_rename("^", "unused/")
            .with_rename(format!("^unused/{wanted}(\\.|$)"), format!("{whole}${{1}}"))
            .with_allow_missing(".")
            .with_allow_unused("^unused/");
        let report = load_module::<B, M>(&mut module, &checkpoint, &options)?;
        let missing = |name: &&String| **name == whole || name.starts_with(&format!("{whole}."));
        if let Some(name) = report.allowed_missing.iter().find(missing) {
            bail!("{} has no {name}, which `initial` asks for", from.display());
        }
        ensure!(
            !report.loaded.is_empty(),
            "`initial`: the model has no part {part:?}"
        );
        names.extend(report.loaded);
    }
    Ok((module, names))
}

/// Reads the optimizer's moments.
///
/// # Errors
/// When the checkpoint's `optimizer.safetensors` is missing or damaged, or its moments are not just those of the
/// parameters that `position` names.
pub fn load_optimizer<B: AutodiffBackend>(
    path: &Path,
    position: &Position,
    optimizer: &mut Optimizer<B>,
    device: &B::Device,
) -> Result<()> {
    let checkpoint = Checkpoint::open(path.join(OPTIMIZER))?;
    let mut read = 0;
    for (name, &steps) in &position.updates {
        let mut moment = |kind: &str| -> Result<Tensor<B::InnerBackend, 1>> {
            let data = checkpoint.require(&format!("{kind}/{name}"))?.read()?;
            read += 1;
            Ok(Tensor::from_data(data, device))
        };
        let first = moment("first")?;
        // Muon has one alone.
        let second = match checkpoint.get(&format!("second/{name}")) {
            Some(_) => Some(moment("second")?),
            None => None,
        };
        optimizer.restore(
            name.clone(),
            Moments {
                steps,
                first,
                second,
            },
        );
    }
    ensure!(
        checkpoint.len() == read,
        "{}: the optimizer's file and {POSITION} disagree: delete this checkpoint",
        path.display()
    );
    Ok(())
}

/// Complete checkpoints, oldest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("stage-") && !name.ends_with(".partial") && path.is_dir() {
            if !path.join(POSITION).is_file() {
                bail!("{} has no {POSITION}: delete this folder", path.display());
            }
            found.push((place_of(&path), path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Stage and step of a checkpoint, by its name.
fn place_of(path: &Path) -> Option<(usize, u64)> {
    let name = path.file_name()?.to_str()?;
    let (stage, step) = name.strip_prefix("stage-")?.split_once("-step-")?;
    Some((stage.parse().ok()?, step.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Empty checkpoints of these names.
    fn made(folder: &Path, names: &[&str]) {
        for name in names {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join(POSITION), "{}").unwrap();
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        list(folder).unwrap().iter().map(name).collect()
    }

    #[test]
    fn stages_and_steps_are_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let order = [
            "stage-0-step-00000020",
            "stage-2-step-00000009",
            "stage-2-step-100000000",
            "stage-10-step-00000001",
        ];
        made(folder, &[order[3], order[1], order[2], order[0]]);
        fs::create_dir(folder.join("stage-11-step-00000001.partial")).unwrap();
        assert_eq!(names(folder), order);
        assert!(newest(folder).unwrap().unwrap().ends_with(order[3]));
    }

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
