//! Loading of models.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use anyref_core::{
    AnswerOptions, BackendName, CacheType, Cancel, Companions, Engine, EngineOptions, Error,
    MAX_CANDIDATES, ModelFiles, ModelOptions, ModelPlace, ModelSource, free_memory, load_engine,
    resolve_model,
};
use anyref_weights::WeightType;
use pyo3::prelude::*;

use crate::error::{last_panic, raised};
use crate::model::Model;
use crate::running;

/// Model in the package. A static and not a constant, which the compiler may copy into each part of
/// the program that names it.
pub static NANO: ModelFiles<'static> = ModelFiles {
    config: include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../assets/nano/config.json"
    )),
    tokenizer: include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../assets/nano/tokenizer.json"
    )),
    weights: include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../assets/nano/model.safetensors"
    )),
};

/// Name of the CPU.
const PROCESSOR: &str = "cpu";

/// Backend and number of a device given as `cpu`, `cuda`, `cuda:1` and so on.
pub fn device(name: &str) -> PyResult<(BackendName, Option<usize>)> {
    let (backend, number) = match name.split_once(':') {
        Some((backend, number)) => {
            let number = number.parse().map_err(|_| {
                raised(format!(
                    "device {name:?} has no number behind the colon: give {backend}:0"
                ))
            })?;
            (backend, Some(number))
        }
        None => (name, None),
    };
    if backend == PROCESSOR {
        return Ok((BackendName::Flex, number));
    }
    let backend = backend.parse().map_err(|_| {
        raised(format!(
            "there is no device {name:?}: use cpu, cuda, vulkan, metal, webgpu or wgpu"
        ))
    })?;
    Ok((backend, number))
}

/// Loads the model at `path`, or the one in the package for `None`.
///
/// # Errors
/// When an option is out of range, the model is missing or damaged, or the device does not start.
#[pyfunction]
#[pyo3(signature = (
    path, device, dtype, *, temperature, seed, max_new_tokens, min_score, candidates, keep_all,
    sound_threshold, clip, imagebind, sound_labels, kv_cache, cache, ignore_memory, tiles
))]
#[expect(clippy::too_many_arguments, reason = "Python's keywords")]
pub fn load(
    py: Python<'_>,
    path: Option<PathBuf>,
    device: &str,
    dtype: &str,
    temperature: f64,
    seed: u64,
    max_new_tokens: Option<usize>,
    min_score: Option<f32>,
    candidates: Option<usize>,
    keep_all: bool,
    sound_threshold: Option<f32>,
    clip: Option<PathBuf>,
    imagebind: Option<PathBuf>,
    sound_labels: Option<PathBuf>,
    kv_cache: &str,
    cache: Option<PathBuf>,
    ignore_memory: bool,
    tiles: Option<usize>,
) -> PyResult<Model> {
    let (backend, number) = self::device(device)?;
    let dtype: WeightType = dtype.parse().map_err(raised)?;
    let kv_cache: CacheType = kv_cache.parse().map_err(raised)?;
    let answers = AnswerOptions {
        temperature,
        seed,
        max_new_tokens,
        min_mask_score: min_score,
        candidates,
        keep_all,
        sound_threshold,
        batch_bytes: None,
        template: None,
        max_tiles: tiles,
    };
    check(&answers)?;
    let companions = Companions {
        clip,
        imagebind,
        sound_labels,
        cache,
    };
    let free = if ignore_memory { None } else { free_memory() };
    let weights = ModelOptions::new(dtype)
        .with_free_memory(free)
        .with_cache_type(kv_cache);
    let loaded = || {
        named(path.clone(), || {
            let place = |model| ModelPlace::open(&resolve_model(model)?);
            let place = path.as_deref().map(place).transpose()?;
            let companions = match &place {
                Some(place) => companions.resolve(place)?,
                None => companions.clone(),
            };
            let model = place.map_or(ModelSource::Files(NANO), ModelSource::Place);
            load_engine(&EngineOptions {
                backend,
                device: number,
                model,
                companions,
                weights: weights.clone(),
                answers,
            })
        })
    };
    let engine = running::run(py, &Cancel::new(), loaded)??;
    Ok(Model::new(Arc::from(engine), min_score))
}

/// Refuses options with which no answer is possible, before a model is loaded.
fn check(answers: &AnswerOptions) -> PyResult<()> {
    let temperature = answers.temperature;
    if !temperature.is_finite() || temperature < 0.0 {
        return Err(raised(format!(
            "temperature is {temperature}: give 0 or more"
        )));
    }
    if answers.max_new_tokens == Some(0) {
        return Err(raised("max_new_tokens is 0: an answer needs at least 1"));
    }
    if let Some(score) = answers.min_mask_score
        && !(0.0..=1.0).contains(&score)
    {
        return Err(raised(format!("min_score is {score}: give 0 to 1")));
    }
    match answers.candidates {
        Some(count) if count > 1 && temperature > 0.0 => Err(raised(
            "candidates tries the likeliest answers, temperature draws one: give one of them",
        )),
        Some(count) if !(1..=MAX_CANDIDATES).contains(&count) => Err(raised(format!(
            "candidates is {count}: give 1 to {MAX_CANDIDATES}"
        ))),
        _ => Ok(()),
    }
}

/// Loads a model, and names it in errors that do not. Some impossible configs panic while the parts
/// are built.
fn named(
    path: Option<PathBuf>,
    load: impl FnOnce() -> anyref_core::Result<Box<dyn Engine>>,
) -> PyResult<Box<dyn Engine>> {
    let name = path.map(|path| path.display().to_string());
    let about = name
        .as_ref()
        .map_or("the built-in model".to_owned(), |name| {
            format!("model {name}")
        });
    match catch_unwind(AssertUnwindSafe(load)) {
        Ok(Ok(engine)) => Ok(engine),
        // Errors of the backend do not concern the model.
        Ok(Err(Error::Backend(error))) => Err(raised(error)),
        Ok(Err(error)) => {
            let message = error.to_string();
            match name {
                Some(name) if message.contains(&name) => Err(raised(message)),
                _ => Err(raised(format!("{about}: {message}"))),
            }
        }
        Err(_) => Err(raised(format!(
            "{about}: its config describes no possible model ({}); use the one that came with the \
             weights",
            last_panic()
        ))),
    }
}
