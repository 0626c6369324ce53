//! Opening the model: a folder, published parts, or the one built into the program.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::failure;
use anyhow::{Context, Result, bail};
use anyref_audio::AudioPreprocessorConfig;
use anyref_core::sound_labels::IMAGEBIND_LICENCE;
use anyref_core::{
    AnswerOptions, AnyRef, AnyRefConfig, Companions, Engine, EngineOptions, Error, MAX_CANDIDATES,
    ModelFiles, ModelOptions, ModelPlace, ModelSource, free_memory, load_engine, resolve_model,
};
use anyref_weights::{StableHash, local_path};
use burn::tensor::backend::Backend;

use crate::args::Common;
use crate::label_cache::label_cache;

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
    /// Place of the model on this machine; none of the built-in one.
    pub place: Option<ModelPlace>,
    /// Parts that it does not carry itself.
    pub companions: Companions,
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
    named(common, || load_engine(&engine_options(common)?))
}

/// Options that [`engine`] loads by, for programs that load it again.
#[cfg(feature = "serve")]
pub fn options(common: &Common) -> Result<EngineOptions> {
    check(common)?;
    named(common, || engine_options(common))
}

fn engine_options(common: &Common) -> anyref_core::Result<EngineOptions> {
    let place = place(common)?;
    Ok(EngineOptions {
        backend: common.backend,
        device: common.device,
        companions: companions(common, place.as_ref())?,
        model: source(place),
        weights: weights(common),
        answers: answers(common),
    })
}

/// Place of the command line's model, as [`engine`] finds it; none of the built-in one.
pub fn located(common: &Common) -> Result<Option<ModelPlace>> {
    check(common)?;
    named(common, || place(common))
}

/// Opens the same model on a device.
pub fn open<B: Backend>(common: &Common, device: &B::Device) -> Result<Opened<B>> {
    open_at(common, located(common)?, device)
}

/// Opens the model at a place, the built-in one where there is none, with the options of the
/// command line.
pub fn open_at<B: Backend>(
    common: &Common,
    place: Option<ModelPlace>,
    device: &B::Device,
) -> Result<Opened<B>> {
    let start = Instant::now();
    let options = weights(common);
    let (companions, anyref) = named(common, || {
        let companions = companions(common, place.as_ref())?;
        let mut anyref = source(place.clone()).load(&companions, options, device)?;
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

/// Place of the command line's model on this machine, where it is fetched to if it is one of the
/// hub; none of the built-in one.
fn place(common: &Common) -> anyref_core::Result<Option<ModelPlace>> {
    let place = |model| ModelPlace::open(&resolve_model(model)?);
    common.model.as_deref().map(place).transpose()
}

/// The model at a place, the built-in one by default.
fn source(place: Option<ModelPlace>) -> ModelSource {
    place.map_or(ModelSource::Files(EMBEDDED), ModelSource::Place)
}

/// Parts that the model does not carry itself, fetched where they are missing.
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

/// Types of the weights, and the memory that they may take.
pub fn weights(common: &Common) -> ModelOptions {
    let free = match common.ignore_memory {
        true => None,
        false => free_memory(),
    };
    ModelOptions::new(common.dtype)
        .with_free_memory(free)
        .with_quantize(common.quantize)
}

/// The changes of the command line to how the model answers.
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

/// Settings that an evaluation may not change when it goes on: the weights, and how they answer.
pub fn settings(common: &Common) -> Result<String> {
    let mut settings = name(common);
    let weights = match &common.model {
        None => StableHash::new()
            .bytes(EMBEDDED.config)
            .bytes(EMBEDDED.tokenizer)
            .bytes(EMBEDDED.weights)
            .finish(),
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
    if let Some(tokens) = common.max_new_tokens {
        settings += &format!(", {tokens} tokens at most");
    }
    if common.temperature > 0.0 {
        let (temperature, seed) = (common.temperature, common.seed);
        settings += &format!(", temperature {temperature}, seed {seed}");
    }
    Ok(settings)
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

/// Names, sizes and times of change of a file, or of a folder's, in order. Times are nanoseconds since 1970, 0 where the
/// file system has none.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluations go on by these numbers, whatever compiler the program was built with.
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
