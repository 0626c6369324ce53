//! Opening the model: a folder, published parts, or the one built into the program.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::failure;
use anyhow::{Context, Result, bail};
use anyref_audio::AudioPreprocessorConfig;
use anyref_core::{
    AnswerOptions, AnyRef, AnyRefConfig, Engine, EngineOptions, Error, MAX_CANDIDATES, ModelFiles,
    ModelOptions, ModelSource, load_engine,
};
use anyref_weights::local_path;
use burn::tensor::backend::Backend;

use crate::args::Common;

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

/// A model on a backend that its command knows by type.
pub struct Opened<B: Backend> {
    /// The model.
    pub anyref: AnyRef<B>,
    /// How long opening took.
    pub load: Duration,
}

/// Pre-processing of sounds, where a config tells it before the model is opened: the built-in one's
/// or that of a folder. Of published parts and of the hub's models it is not known yet.
pub fn hearing(common: &Common) -> Option<AudioPreprocessorConfig> {
    let config: AnyRefConfig = match &common.model {
        None => serde_json::from_slice(EMBEDDED.config).ok()?,
        Some(folder) => AnyRefConfig::of_folder(folder).ok()?,
    };
    Some(config.audio?.preprocessor)
}

/// Loads the model that the command line asks for onto its backend.
pub fn engine(common: &Common) -> Result<Box<dyn Engine>> {
    check(common)?;
    let options = EngineOptions {
        backend: common.backend,
        device: common.device,
        model: source(common),
        weights: ModelOptions::new(common.dtype),
        answers: answers(common),
    };
    named(common, || load_engine(&options))
}

/// Opens the same model on a device.
pub fn open<B: Backend>(common: &Common, device: &B::Device) -> Result<Opened<B>> {
    check(common)?;
    let start = Instant::now();
    let options = ModelOptions::new(common.dtype);
    let anyref = named(common, || {
        let mut anyref = source(common).load(options, device)?;
        answers(common).apply(&mut anyref)?;
        Ok(anyref)
    })?;
    Ok(Opened {
        anyref,
        load: start.elapsed(),
    })
}

/// The model of the command line, the built-in one by default.
fn source(common: &Common) -> ModelSource {
    match &common.model {
        Some(path) => ModelSource::Path(path.clone()),
        None => ModelSource::Files(EMBEDDED),
    }
}

/// The changes of the command line to how the model answers.
fn answers(common: &Common) -> AnswerOptions {
    AnswerOptions {
        temperature: common.temperature,
        seed: common.seed,
        max_new_tokens: common.max_new_tokens,
        min_mask_score: common.min_score,
        candidates: common.candidates,
        batch_bytes: None,
    }
}

/// Refuses options that no answer could come of, before a model is read for nothing.
fn check(common: &Common) -> Result<()> {
    if !common.temperature.is_finite() || common.temperature < 0.0 {
        bail!("--temperature is {}: give 0 or more", common.temperature);
    }
    if common.max_new_tokens == Some(0) {
        bail!("--max-new-tokens is 0: an answer needs at least 1");
    }
    if let Some(score) = common.min_score
        && !(0.0..=1.0).contains(&score)
    {
        bail!("--min-score is {score}: give 0 to 1");
    }
    let Some(count) = common.candidates else {
        return Ok(());
    };
    if count > 1 && common.temperature > 0.0 {
        bail!(
            "--candidates tries the likeliest answers, --temperature draws one: give one of them"
        );
    }
    if !(1..=MAX_CANDIDATES).contains(&count) {
        bail!("--candidates is {count}: give 1 to {MAX_CANDIDATES}");
    }
    Ok(())
}

/// What an evaluation may not change when it goes on: the weights, and how they answer.
pub fn settings(common: &Common) -> Result<String> {
    let mut settings = name(common);
    let weights = match &common.model {
        None => fingerprint(|hasher| {
            (EMBEDDED.config, EMBEDDED.tokenizer, EMBEDDED.weights).hash(hasher)
        }),
        Some(path) => {
            let path = local_path(path)?.into_owned();
            let parts = named_in(&path);
            state(&[&[path], &parts[..]].concat())?
        }
    };
    settings += &format!(" ({weights:016x}), {}", common.dtype);
    if let Some(tokens) = common.max_new_tokens {
        settings += &format!(", {tokens} tokens at most");
    }
    if common.temperature > 0.0 {
        let (temperature, seed) = (common.temperature, common.seed);
        settings += &format!(", temperature {temperature}, seed {seed}");
    }
    Ok(settings)
}

/// A number that is another where other things are hashed, as far as chance allows.
pub fn fingerprint(hash: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash(&mut hasher);
    hasher.finish()
}

/// The files and folders that a file of parts names.
fn named_in(path: &Path) -> Vec<PathBuf> {
    let text = fs::read(path).unwrap_or_default();
    let parts: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let names = parts
        .as_object()
        .into_iter()
        .flat_map(|parts| parts.values());
    let beside = path.parent().unwrap_or(path);
    let paths = names.filter_map(|name| Some(beside.join(name.as_str()?)));
    paths.filter(|path| path.exists()).collect()
}

/// A fingerprint of files and folders by names, sizes and times of change: weights may take long to
/// read.
pub fn state(paths: &[PathBuf]) -> Result<u64> {
    let found = paths.iter().map(|path| files(path));
    let found = found.collect::<Result<Vec<_>>>()?;
    Ok(fingerprint(|hasher| found.hash(hasher)))
}

/// Names, sizes and times of change of a file, or of a folder's, in order.
fn files(path: &Path) -> Result<Vec<(OsString, u64, Option<SystemTime>)>> {
    let entry = |path: &Path| -> std::io::Result<_> {
        let data = fs::metadata(path)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        Ok((name, data.len(), data.modified().ok()))
    };
    let listed = match path.is_dir() {
        true => fs::read_dir(path).and_then(|files| {
            let mut files = files
                .map(|file| entry(&file?.path()))
                .collect::<std::io::Result<Vec<_>>>()?;
            files.sort();
            Ok(files)
        }),
        false => entry(path).map(|file| vec![file]),
    };
    listed.with_context(|| format!("cannot read {}", path.display()))
}

/// What the model is called in an evaluation's results.
pub fn name(common: &Common) -> String {
    let name = match &common.model {
        Some(folder) => folder.display().to_string(),
        None => "built in".to_owned(),
    };
    let score = common.min_score.map_or(String::new(), |score| {
        format!(", masks of a score of {score} and more")
    });
    let candidates = common
        .candidates
        .map_or(String::new(), |count| format!(", {count} answers tried"));
    name + &score + &candidates
}

/// Loads a model, and names it in errors that do not. Some configs that no model can have end in a
/// panic while the parts are built.
fn named<T>(common: &Common, load: impl FnOnce() -> anyref_core::Result<T>) -> Result<T> {
    let name = match &common.model {
        Some(path) => path.display().to_string(),
        None => {
            return load().map_err(|error| match error {
                Error::Backend(error) => error.into(),
                error => anyhow::Error::from(error).context("the built-in model"),
            });
        }
    };
    match catch_unwind(AssertUnwindSafe(load)) {
        Ok(Ok(loaded)) => Ok(loaded),
        // Not about the model.
        Ok(Err(Error::Backend(error))) => Err(error.into()),
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
