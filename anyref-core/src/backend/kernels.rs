//! Cache of kernels compiled for Nvidia GPUs, kept between starts of a program.
//!
//! CubeCL stores which kernels were the fastest, but recompiles them in every process unless its
//! configuration names a folder for them. It looks them up by name alone, so each build of the
//! program, driver and GPU model gets its own folder.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyref_weights::StableHash;
use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Folder in which Linux describes the driver.
const DRIVER: &str = "/proc/driver/nvidia";
/// File that is written at every start; its age is that of the last start.
const STAMP: &str = "used";
/// Age after which unused folders are removed.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// Keeps kernels in the user's cache folder, unless a `cubecl.toml` or `burn.toml` names another, a
/// device has started, or the folder is not writable.
pub(super) fn keep() {
    if CubeClRuntimeConfig::storage().lock().is_some() {
        return;
    }
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    if config.compilation.cache.is_none() {
        let folder = folder(|name| env::var_os(name));
        let own = folder.zip(machine(Path::new(DRIVER)));
        config.compilation.cache = own.and_then(|(folder, machine)| {
            let own = folder.join(format!(
                "{}-{:016x}",
                env!("CARGO_PKG_VERSION"),
                build(machine)
            ));
            use_now(&own)?;
            drop_old(&folder, &own, OLD);
            Some(CacheConfig::File(own))
        });
    }
    CubeClRuntimeConfig::set(config);
}

/// Cache folder for the kernels of all builds, from the environment.
fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| {
        let path = PathBuf::from(variable(name)?);
        path.is_absolute().then_some(path)
    };
    let cache = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")))?;
    Some(cache.join("anyref").join("kernels"))
}

/// Hash of the driver and the GPUs of this machine; `None` if they are unknown or of different
/// models.
fn machine(driver: &Path) -> Option<u64> {
    let version = fs::read_to_string(driver.join("version")).ok()?;
    let mut models = Vec::new();
    for entry in fs::read_dir(driver.join("gpus")).ok()?.flatten() {
        let about = fs::read_to_string(entry.path().join("information")).ok()?;
        let model = about.lines().find(|line| line.starts_with("Model"))?;
        models.push(model.to_owned());
    }
    models.dedup();
    match models.as_slice() {
        [model] => Some(StableHash::new().bytes(version).bytes(model).finish()),
        _ => None,
    }
}

/// Hash that differs between builds of the program.
fn build(machine: u64) -> u64 {
    let mut hash = StableHash::new().number(machine);
    let program = env::current_exe().ok();
    if let Some(file) = program.and_then(|program| fs::metadata(program).ok()) {
        let changed = file.modified().ok();
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.map_or(0, |time| time.as_nanos() as u64);
        hash = hash.number(file.len()).number(changed);
    }
    hash.finish()
}

/// Creates the folder and marks it as used; `None` if that fails.
fn use_now(own: &Path) -> Option<()> {
    fs::create_dir_all(own).ok()?;
    fs::write(own.join(STAMP), "").ok()
}

/// Removes other folders that have not been used for `old`.
fn drop_old(folder: &Path, own: &Path, old: Duration) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let stamp = fs::metadata(entry.path().join(STAMP));
        let age = stamp.and_then(|stamp| stamp.modified());
        let age = age.ok().and_then(|time| time.elapsed().ok());
        if entry.path() != own && age.is_some_and(|age| age >= old) {
            // A folder that cannot be removed only takes space.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_users() {
        let with = |pairs: &'static [(&str, &str)]| {
            folder(move |name| {
                let pair = pairs.iter().find(|(known, _)| *known == name)?;
                Some(pair.1.into())
            })
        };
        assert_eq!(with(&[]), None);
        assert_eq!(
            with(&[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/big")]),
            Some("/big/anyref/kernels".into())
        );
        assert_eq!(
            with(&[("HOME", "/home/me")]),
            Some("/home/me/.cache/anyref/kernels".into())
        );
        // An empty variable counts as unset.
        assert_eq!(with(&[("XDG_CACHE_HOME", "")]), None);
    }

    #[test]
    fn machines_differ_by_driver_and_gpu() {
        let folder = tempfile::tempdir().unwrap();
        let driver = folder.path();
        assert_eq!(machine(driver), None);
        let gpu = |name: &str, model: &str| {
            let gpu = driver.join("gpus").join(name);
            fs::create_dir_all(&gpu).unwrap();
            let about = format!("Model: \t{model}\nIRQ: 1\n");
            fs::write(gpu.join("information"), about).unwrap();
        };
        fs::write(driver.join("version"), "580\n").unwrap();
        gpu("0", "H100");
        let one = machine(driver);
        assert!(one.is_some());
        gpu("1", "H100");
        assert_eq!(machine(driver), one);
        fs::write(driver.join("version"), "590\n").unwrap();
        assert_ne!(machine(driver), one);
        gpu("1", "A100");
        assert_eq!(machine(driver), None);
    }

    #[test]
    fn folders_go_when_they_were_not_used_for_a_while() {
        assert_eq!(build(1), build(1));
        assert_ne!(build(1), build(2));
        let folder = tempfile::tempdir().unwrap();
        let [own, other, foreign] =
            ["own", "other", "foreign"].map(|name| folder.path().join(name));
        for path in [&own, &other] {
            use_now(path).unwrap();
        }
        fs::create_dir(&foreign).unwrap();
        drop_old(folder.path(), &own, OLD);
        assert!(own.is_dir() && other.is_dir());
        drop_old(folder.path(), &own, Duration::ZERO);
        assert!(own.is_dir() && foreign.is_dir() && !other.exists());
        // A file in place of the folder.
        assert!(use_now(&own.join(STAMP).join("x")).is_none());
    }
}
