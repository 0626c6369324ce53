//! Loading of the model: a folder, published parts, or the one built into the program.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::failure;
use anyhow::{Context, Result, bail};
use anyref_audio::AudioPreprocessorConfig;
use anyref_core::quantization::Quantization;
use anyref_core::sound_labels::IMAGEBIND_LICENCE;
use anyref_core::{
    AnswerOptions, AnyRef, AnyRefConfig, CacheType, Companions, Engine, EngineOptions, Error,
    MAX_CANDIDATES, ModelOptions, ModelPlace, ModelSource, free_memory, load_engine, resolve_model,
};
use anyref_weights::{StableHash, local_path};
use burn::tensor::backend::Backend;

use crate::args::Common;
use crate::label_cache::label_cache;
use crate::nano;

/// Model on a backend that its command knows as a type.
pub struct Opened<B: Backend> {
    /// Loaded model.
    pub anyref: AnyRef<B>,
    /// Model as it was opened; `None` for the built-in model.
    pub place: Option<ModelPlace>,
    /// Parts that it leaves to other repositories.
    pub companions: Companions,
    /// Loading time.
    pub load: Duration,
}

/// Preprocessing of sounds, if a config states it before the model is loaded: that of the built-in
/// model or of a folder. It is not known yet for published parts and for models of the hub.
pub fn hearing(common: &Common) -> Option<AudioPreprocessorConfig> {
    let config: AnyRefConfig = match common.model() {
        None => serde_json::from_slice(nano::CONFIG).ok()?,
        Some(folder) => AnyRefConfig::of_folder(folder).ok()?,
    };
    Some(config.audio?.preprocessor)
}

/// Loads the model of the command line onto its backend.
pub fn engine(common: &Common) -> Result<Box<dyn Engine>> {
    load(common, &options(common)?)
}

/// Loads the model of the command line by its options.
pub fn load(common: &Common, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    named(common, || load_engine(options))
}

/// Options that [`engine`] loads with, for programs that load it again.
pub fn options(common: &Common) -> Result<EngineOptions> {
    check(common)?;
    let weights = weights(common)?;
    named(common, || engine_options(common, weights))
}

fn engine_options(common: &Common, weights: ModelOptions) -> anyref_core::Result<EngineOptions> {
    let place = place(common)?;
    Ok(EngineOptions {
        backend: common.backend,
        device: common.device,
        companions: companions(common, place.as_ref())?,
        model: source(place)?,
        weights,
        answers: answers(common),
    })
}

/// Model of the command line, opened; `None` for the built-in model.
pub fn located(common: &Common) -> Result<Option<ModelPlace>> {
    check(common)?;
    named(common, || place(common))
}

/// Loads the model of the command line onto a device.
pub fn open<B: Backend>(common: &Common, device: &B::Device) -> Result<Opened<B>> {
    open_at(common, located(common)?, device)
}

/// Loads the model at a place, the built-in one by default, with the options of the command line.
pub fn open_at<B: Backend>(
    common: &Common,
    place: Option<ModelPlace>,
    device: &B::Device,
) -> Result<Opened<B>> {
    let start = Instant::now();
    let options = weights(common)?;
    let (companions, anyref) = named(common, || {
        let companions = companions(common, place.as_ref())?;
        let mut anyref = source(place.clone())?.load(&companions, options, device)?;
        answers(common).apply(&mut anyref)?;
        Ok((companions, anyref))
    })?;
    Ok(Opened {
        anyref,
        place,
        companions,
        load: start.elapsed(),
    })
}

/// Model of the command line, opened, and downloaded if it is on the hub; `None` for the built-in
/// model.
fn place(common: &Common) -> anyref_core::Result<Option<ModelPlace>> {
    let place = |model| ModelPlace::open(&resolve_model(model)?);
    common.model().map(place).transpose()
}

/// Model at a place, the built-in one by default.
fn source(place: Option<ModelPlace>) -> anyref_core::Result<ModelSource> {
    Ok(match place {
        Some(place) => ModelSource::Place(place),
        None => ModelSource::Files(nano::files()?),
    })
}

/// Parts that the model leaves to other repositories, downloaded if they are missing.
fn companions(common: &Common, model: Option<&ModelPlace>) -> anyref_core::Result<Companions> {
    let given = Companions {
        clip: common.clip.clone(),
        imagebind: common.imagebind.clone(),
        sound_labels: common.sound_labels.clone(),
        cache: label_cache(None),
    };
    if given.imagebind.is_some() {
        eprintln!("note: {IMAGEBIND_LICENCE}");
    }
    match model {
        Some(place) => given.resolve(place),
        None => Ok(given),
    }
}

/// Data types of the weights, and the memory that they may take.
pub fn weights(common: &Common) -> Result<ModelOptions> {
    let free = match common.ignore_memory {
        true => None,
        false => free_memory(),
    };
    let options = ModelOptions::new(common.dtype)
        .with_free_memory(free)
        .with_quantization(quantization(common)?)
        .with_quantize_vision(common.quantize_vision)
        .with_quantize_audio(common.quantize_audio)
        .with_cache_type(common.kv_cache);
    Ok(options)
}

/// Formats of the language model's weights.
pub fn quantization(common: &Common) -> Result<Option<Quantization>> {
    let rules = &common.quantize_rule;
    let Some(block_type) = common.quantize else {
        if let Some(rule) = rules.first() {
            bail!(
                "--quantize-rule {rule} is an exception to --quantize: give --quantize q8_0, q4_0 or q4_k too"
            );
        }
        return Ok(None);
    };
    let plain = Quantization::new(block_type);
    let ruled = rules
        .iter()
        .try_fold(plain, |all, rule| all.with_rule(rule))?;
    Ok(Some(ruled))
}

/// Options of the command line for answers.
fn answers(common: &Common) -> AnswerOptions {
    AnswerOptions {
        temperature: common.temperature,
        seed: common.seed,
        max_new_tokens: common.max_new_tokens,
        min_mask_score: common.min_score,
        candidates: common.candidates,
        keep_all: common.all,
        sound_threshold: common.sound_threshold,
        template: common.conv_type,
        batch_bytes: None,
        max_tiles: common.tiles,
    }
}

/// Refuses options with which no answer is possible, before a model is loaded.
fn check(common: &Common) -> Result<()> {
    if !common.temperature.is_finite() || common.temperature < 0.0 {
        bail!("--temperature is {}: give 0 or more", common.temperature);
    }
    if common.max_new_tokens == Some(0) {
        bail!("--max-new-tokens is 0: an answer needs at least 1");
    }
    if common.tiles == Some(0) {
        bail!("--tiles is 0: a picture needs at least 1");
    }
    quantization(common)?;
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

/// Settings that may not change when an evaluation is resumed: the weights, and the options of
/// answers.
pub fn settings(common: &Common) -> Result<String> {
    let mut settings = name(common);
    let weights = match common.model() {
        None => {
            let nano = nano::files()?;
            StableHash::new()
                .bytes(nano.config)
                .bytes(nano.tokenizer)
                .bytes(nano.weights)
                .finish()
        }
        Some(path) => {
            let path = local_path(path)?.into_owned();
            let parts = named_in(&path);
            state(&[&[path], &parts[..]].concat())?
        }
    };
    settings += &format!(" ({weights:016x}), {}", common.dtype);
    if let Some(block_type) = common.quantize {
        settings += &format!(", projections in {block_type}");
    }
    for rule in &common.quantize_rule {
        settings += &format!(", {rule}");
    }
    if let Some(form) = common.quantize_vision {
        settings += &format!(", picture encoders in {form}");
    }
    if let Some(form) = common.quantize_audio {
        settings += &format!(", ImageBind in {form}");
    }
    if common.kv_cache != CacheType::F32 {
        settings += &format!(", keys and values in {}", common.kv_cache);
    }
    if let Some(tokens) = common.max_new_tokens {
        settings += &format!(", {tokens} tokens at most");
    }
    if common.temperature > 0.0 {
        let (temperature, seed) = (common.temperature, common.seed);
        settings += &format!(", temperature {temperature}, seed {seed}");
    }
    Ok(settings)
}

/// Files and folders named in a file of parts.
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

/// Fingerprint of files and folders by names, sizes and modification times, because reading weights
/// may take long.
pub fn state(paths: &[PathBuf]) -> Result<u64> {
    let mut hash = StableHash::new();
    for path in paths {
        let files = files(path)?;
        hash = hash.number(files.len() as u64);
        for (name, size, changed) in files {
            hash = hash.bytes(name).number(size).number(changed);
        }
    }
    Ok(hash.finish())
}

/// Names, sizes and modification times of a file, or of a folder's files, in order. Times are
/// nanoseconds since 1970, 0 if the file system has none.
fn files(path: &Path) -> Result<Vec<(Vec<u8>, u64, u64)>> {
    let entry = |path: &Path| -> std::io::Result<_> {
        let data = fs::metadata(path)?;
        let name = path.file_name().unwrap_or_default();
        let changed = data.modified().ok();
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok((
            name.as_encoded_bytes().to_vec(),
            data.len(),
            changed.map_or(0, |time| time.as_nanos() as u64),
        ))
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

/// Name of the model in an evaluation's results.
pub fn name(common: &Common) -> String {
    let name = match common.model() {
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

/// Loads a model, and names it in errors that do not. Some impossible configs panic while the parts
/// are built.
fn named<T>(common: &Common, load: impl FnOnce() -> anyref_core::Result<T>) -> Result<T> {
    let name = match common.model() {
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
        // Errors of the backend do not concern the model.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluations are resumed by these numbers, so they must not depend on the compiler.
    #[test]
    fn the_state_of_files_is_the_same_in_every_build() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("config.json", "{}"), ("model.safetensors", "weights")] {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            std::io::Write::write_all(&mut &file, content.as_bytes()).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
                .unwrap();
        }
        let path = folder.path().to_path_buf();
        let expected = StableHash::new()
            .number(2)
            .bytes("config.json")
            .number(2)
            .number(1_700_000_000_000_000_000)
            .bytes("model.safetensors")
            .number(7)
            .number(1_700_000_000_000_000_000);
        assert_eq!(
            state(std::slice::from_ref(&path)).unwrap(),
            expected.finish()
        );
        fs::write(path.join("config.json"), "{ }").unwrap();
        assert_ne!(state(&[path]).unwrap(), expected.finish());
    }
}
