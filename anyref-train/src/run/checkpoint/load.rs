//! Reading checkpoints and initial weights.

use std::collections::BTreeSet;
use std::path::Path;

use anyref_core::quantization::Quantization;
use anyref_weights::hub::refuse_location;
use anyref_weights::{Checkpoint, LoadOptions, load_module, parameters};
use burn::module::Module;
use burn::tensor::{DType, Tensor, backend::AutodiffBackend};

use super::Position;
use super::error::CheckpointError;
use super::files::{LIVE, MODEL, OPTIMIZER, POSITION};
use crate::run::frozen_blocks::LANGUAGE_MODEL;
use crate::run::optimizer::{Moments, Optimizer};
use crate::run::start_folder::StartFolder;
use crate::trainee::Trainee;

/// Beginning of the names of the language model's parameters in a model folder.
const IN_FOLDER: &str = "llm.";

/// The parameters of a module that a checkpoint lacks.
///
/// # Errors
/// When the checkpoint's `model.safetensors` is missing or damaged.
pub(in crate::run) fn missing<B: AutodiffBackend, M: Module<B>>(
    path: &Path,
    module: &M,
) -> Result<BTreeSet<String>, CheckpointError> {
    let checkpoint = Checkpoint::open(path.join(MODEL))?;
    let wanted = parameters::<B, M>(module).into_keys();
    Ok(wanted
        .filter(|name| checkpoint.get(name).is_none())
        .collect())
}

/// Reads a checkpoint's weights into a trainee that has the `initial` ones already, by name.
///
/// # Errors
/// When the checkpoint's `model.safetensors` is missing or damaged, lacks a parameter that is not
/// in `initial`, or has one that the trainee lacks or that is of another shape or type there.
pub fn load_weights<B: AutodiffBackend>(
    path: &Path,
    mut trainee: Trainee<B>,
    initial: &BTreeSet<String>,
) -> Result<Trainee<B>, CheckpointError> {
    let checkpoint = Checkpoint::open(path.join(MODEL))?;
    let llm = &mut trainee.anyref.llm;
    let in_blocks = llm.load_blocks(&checkpoint, LANGUAGE_MODEL, None)?.names;
    let lacks = missing(path, &trainee)?;
    if let Some(name) = lacks.difference(initial).next() {
        return Err(CheckpointError::Foreign {
            path: path.into(),
            name: name.clone(),
        });
    }
    // Kept in burn's order, as during training: a resumed run then rounds as an uninterrupted one
    // does.
    let mut options = LoadOptions::default().with_mapped(false);
    if !lacks.is_empty() {
        options = options.with_allow_missing(".");
    }
    load_module::<B, _>(&mut trainee, &checkpoint.without(&in_blocks), &options)?;
    Ok(trainee)
}

/// Reads the optimizer's weights into a module that holds their EMA, as far as they are among
/// `trained`, by name; a checkpoint without an EMA has them as the model. Other parameters keep the
/// EMA.
///
/// # Errors
/// When the checkpoint's `live.safetensors` is missing or damaged, or has a parameter that is of
/// another shape or type in the module.
pub(in crate::run) fn load_live<B: AutodiffBackend, M: Module<B>>(
    path: &Path,
    position: &Position,
    trained: &BTreeSet<String>,
    mut module: M,
) -> Result<M, CheckpointError> {
    if !position.averaged {
        return Ok(module);
    }
    let checkpoint = Checkpoint::open(path.join(LIVE))?;
    let others = checkpoint
        .tensors()
        .map(|tensor| &tensor.name)
        .filter(|name| !trained.contains(*name));
    let others: Vec<String> = others.map(|name| regex::escape(name)).collect();
    let mut options = LoadOptions::default()
        .with_mapped(false)
        .with_allow_missing(".");
    if !others.is_empty() {
        options = options
            .with_rename(format!("^({})$", others.join("|")), "unused/${1}")
            .with_allow_unused("^unused/");
    }
    load_module::<B, M>(&mut module, &checkpoint, &options)?;
    Ok(module)
}

/// Reads all of a model folder, weights of the language model in blocks where `quantization` says
/// so. Pretraining heads stay as they are, and so do adapters that the folder lacks. Returns also
/// the names of what was read.
///
/// # Errors
/// When the folder is not there or has no weights that can be read. When these lack a parameter of
/// the module that is neither of its heads nor of adapters, or have one that the module lacks or
/// that is of another shape or type there.
pub(in crate::run) fn load_start<B: AutodiffBackend>(
    from: &Path,
    quantization: Option<&Quantization>,
    mut trainee: Trainee<B>,
) -> Result<(Trainee<B>, Vec<String>), CheckpointError> {
    refuse_location(from)?;
    if !from.is_dir() {
        return Err(CheckpointError::NoStart { from: from.into() });
    }
    let checkpoint = StartFolder::open::<B::InnerBackend>(from)?.checkpoint()?;
    let options = LoadOptions::default()
        .with_cast(Some(DType::F32))
        .with_rename("^", "anyref.")
        .with_allow_missing("^heads\\.")
        .with_allow_missing("\\.lora_[abAB]\\.");
    let in_blocks = match quantization {
        Some(_) => {
            let llm = &mut trainee.anyref.llm;
            llm.load_blocks(&checkpoint, IN_FOLDER, quantization)?.names
        }
        // Whatever the folder has: all of it may be trained.
        None => BTreeSet::new(),
    };
    let checkpoint = checkpoint.without(&in_blocks);
    let report = load_module::<B, _>(&mut trainee, &checkpoint, &options).map_err(|error| {
        CheckpointError::OtherStart {
            from: from.into(),
            source: Box::new(error),
        }
    })?;
    let mut names = report.loaded;
    names.extend(in_blocks.iter().map(|name| format!("anyref.{name}")));
    Ok((trainee, names))
}

/// Reads some parts of a model folder or of a checkpoint; the others stay as they are. Returns also
/// the names of the parameters that were read.
///
/// # Errors
/// When there is nothing at `from`, it cannot be read, or the module has none of the parameters of
/// one of the `parts`. When `from` lacks a parameter of such a part, or has one that the module
/// lacks or that is of another shape or type there.
pub fn load_parts<B: AutodiffBackend, M: Module<B>>(
    from: &Path,
    parts: &[String],
    mut module: M,
) -> Result<(M, Vec<String>), CheckpointError> {
    let mut names = Vec::new();
    refuse_location(from)?;
    if !from.exists() {
        return Err(CheckpointError::NoInitial { from: from.into() });
    }
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
            return Err(CheckpointError::InitialLacks {
                from: from.into(),
                name: name.clone(),
            });
        }
        if report.loaded.is_empty() {
            return Err(CheckpointError::NoPart { part: part.clone() });
        }
        names.extend(report.loaded);
    }
    Ok((module, names))
}

/// Reads the optimizer's moments.
///
/// # Errors
/// When the checkpoint's `optimizer.safetensors` is missing or damaged, or its moments are not just
/// those of the parameters that `position` names.
pub(in crate::run) fn load_optimizer<B: AutodiffBackend>(
    path: &Path,
    position: &Position,
    optimizer: &mut Optimizer<B>,
    device: &B::Device,
) -> Result<(), CheckpointError> {
    let checkpoint = Checkpoint::open(path.join(OPTIMIZER))?;
    let mut read = 0;
    for (name, &steps) in &position.updates {
        let mut moment = |kind: &str| -> Result<Tensor<B::InnerBackend, 1>, CheckpointError> {
            let data = checkpoint.require(&format!("{kind}/{name}"))?.read()?;
            read += 1;
            Ok(Tensor::from_data(data, device))
        };
        let first = moment("first")?;
        // Muon has only one.
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
    match checkpoint.len() == read {
        true => Ok(()),
        false => Err(CheckpointError::OtherMoments { path: path.into() }),
    }
}
