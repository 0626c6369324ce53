//! `anyref info FILE|DIR`: the tensors of a checkpoint, and mismatches with a config.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::failure;
use anyhow::{Context, Result, bail};
use anyref_core::AnyRefConfig;
use anyref_core::official::{Kind, Published, compare};
use anyref_weights::hub::local_path;
use anyref_weights::{GgufMetadata, LoadReport};
use burn::tensor::backend::Backend;

use super::gguf;
use crate::nano;
use crate::output::say;
use crate::units::{megabytes, millions};

/// Lists the tensors and compares them with a config.
pub fn run<B: Backend>(path: &Path, against: Option<&str>, device: &B::Device) -> Result<()> {
    let local = local_path(path)?;
    if against.is_none() && GgufMetadata::is_gguf(&local) {
        return gguf::run(&local);
    }
    let published = Published::open(&local)?;
    let against = against.map(config).transpose()?;
    list(&published)?;
    // Impossible sizes panic while the part is laid out.
    let compared = catch_unwind(AssertUnwindSafe(|| {
        compare::<B>(&published, against.as_ref(), device)
    }));
    let reports = match compared {
        Ok(Ok(reports)) => reports,
        // Without a config there is nothing to compare with, which is no fault of the file.
        Ok(Err(error)) if against.is_none() => {
            return say(&format!(
                "not compared: {}",
                failure::one_line(&error.into())
            ));
        }
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => bail!(
            "{}: describes no possible model ({})",
            path.display(),
            failure::last_panic()
        ),
    };
    let mut wrong = 0;
    for (part, report) in &reports {
        wrong += show(part, report)?;
    }
    if wrong > 0 {
        bail!(
            "{}: {wrong} tensors do not match, listed above",
            path.display()
        );
    }
    Ok(())
}

/// Configuration by the name of a preset (the built-in `nano` has the vocabulary that it was
/// trained with), or of a file.
fn config(against: &str) -> Result<AnyRefConfig> {
    if against == "nano" {
        return serde_json::from_slice(nano::CONFIG).context("the built-in model");
    }
    if let Some(config) = AnyRefConfig::preset(against) {
        return Ok(config);
    }
    let text = std::fs::read(against).with_context(|| {
        format!(
            "--against {against}: neither a preset (nano, anyref-7b, lisa-7b, lisa-13b) nor a file that can be read"
        )
    })?;
    let config: AnyRefConfig = serde_json::from_slice(&text).with_context(|| {
        format!("{against}: not an AnyRef config; give a model folder's config.json")
    })?;
    config.validate().with_context(|| against.to_owned())?;
    Ok(config)
}

fn list(published: &Published) -> Result<()> {
    let kind = published
        .kind
        .map_or("unknown".into(), |kind: Kind| kind.to_string());
    let (mut types, mut elements, mut bytes) = (BTreeMap::<&str, usize>::new(), 0, 0);
    for tensor in published.checkpoint.tensors() {
        *types.entry(tensor.dtype.name()).or_default() += 1;
        elements += tensor.num_elements();
        bytes += tensor.num_elements() * tensor.dtype.size();
    }
    let types: Vec<_> = types
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    say(&format!("holds       {kind}"))?;
    say(&format!(
        "tensors     {} ({}), {} values, {}",
        published.checkpoint.len(),
        types.join(", "),
        millions(elements),
        megabytes(bytes)
    ))?;
    let longest = published
        .checkpoint
        .tensors()
        .map(|tensor| tensor.name.len())
        .max();
    let width = longest.unwrap_or(0).min(100);
    for tensor in published.checkpoint.tensors() {
        say(&format!(
            "{:<width$}  {:<4} {:?}",
            tensor.name,
            tensor.dtype.name(),
            tensor.shape
        ))?;
    }
    Ok(())
}

/// Prints the mismatches; returns their number.
fn show(part: &str, report: &LoadReport) -> Result<usize> {
    for name in &report.missing {
        say(&format!("{part}: missing `{name}`"))?;
    }
    for tensor in &report.unexpected {
        say(&format!("{part}: unexpected `{}`", tensor.name))?;
    }
    for tensor in &report.wrong_shape {
        say(&format!(
            "{part}: wrong shape `{}` {:?} instead of {:?}",
            tensor.name, tensor.found, tensor.expected
        ))?;
    }
    for tensor in &report.wrong_type {
        say(&format!(
            "{part}: wrong type `{}` {} instead of {}",
            tensor.name,
            tensor.found.name(),
            tensor.expected
        ))?;
    }
    let wrong = report.missing.len()
        + report.unexpected.len()
        + report.wrong_shape.len()
        + report.wrong_type.len();
    if wrong == 0 {
        say(&format!("{part}: {} tensors match", report.loaded.len()))?;
    }
    Ok(wrong)
}
