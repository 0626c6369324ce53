//! Opening the model: a folder, published parts, or the one built into the program.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use anyref_core::{AnyRef, ModelFiles, ModelOptions};
use burn::tensor::backend::Backend;

use crate::args::Common;
use crate::failure;

/// The built-in model.
pub const EMBEDDED: ModelFiles<'static> = ModelFiles {
    config: include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../assets/nano/config.json"
    )),
    tokenizer: include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../assets/nano/tokenizer.json"
    )),
    weights: include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../assets/nano/model.safetensors"
    )),
};

/// A model ready to be asked.
pub struct Opened<B: Backend> {
    /// The model.
    pub anyref: AnyRef<B>,
    /// When opening began, for the total time.
    pub start: Instant,
    /// How long opening took.
    pub load: Duration,
}

/// Opens the model that the command line asks for.
pub fn open<B: Backend>(common: &Common, device: &B::Device) -> Result<Opened<B>> {
    let start = Instant::now();
    let options = ModelOptions::new(common.dtype);
    let mut anyref = match &common.model {
        Some(folder) => load::<B>(folder, options, device)?,
        None => AnyRef::<B>::from_files(EMBEDDED, options, device).context("the built-in model")?,
    };
    if !common.temperature.is_finite() || common.temperature < 0.0 {
        bail!("--temperature is {}: give 0 or more", common.temperature);
    }
    anyref.generation.temperature = common.temperature;
    anyref.generation.seed = common.seed;
    match common.max_new_tokens {
        Some(0) => bail!("--max-new-tokens is 0: an answer needs at least 1"),
        Some(tokens) => anyref.generation.max_new_tokens = tokens,
        None => {}
    }
    match common.min_score {
        Some(score) if !(0.0..=1.0).contains(&score) => {
            bail!("--min-score is {score}: give 0 to 1")
        }
        Some(score) => anyref.config.min_mask_score = score,
        None => {}
    }
    Ok(Opened {
        anyref,
        start,
        load: start.elapsed(),
    })
}

/// What identifies the model in an evaluation's folder.
pub fn name(common: &Common) -> String {
    let name = match &common.model {
        Some(folder) => folder.display().to_string(),
        None => "built in".to_owned(),
    };
    match common.min_score {
        Some(score) => format!("{name}, masks of a score of {score} and more"),
        None => name,
    }
}

/// Loads a folder or parts. Some configs that no model can have end in a panic while the parts are built.
fn load<B: Backend>(folder: &Path, options: ModelOptions, device: &B::Device) -> Result<AnyRef<B>> {
    let name = folder.display().to_string();
    match catch_unwind(AssertUnwindSafe(|| {
        AnyRef::<B>::load_with(folder, options, device)
    })) {
        Ok(Ok(anyref)) => Ok(anyref),
        Ok(Err(error)) => {
            let named = error.to_string().contains(&name);
            let error = anyhow::Error::from(error);
            Err(if named {
                error
            } else {
                error.context(format!("model {name}"))
            })
        }
        Err(_) => bail!(
            "model {name}: its config describes no possible model ({}); use the one that came with the weights",
            failure::last_panic()
        ),
    }
}
