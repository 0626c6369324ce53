//! Compiled kernels of GPUs, kept from one start of a program to the next.
//!
//! CubeCL writes down which kernels were the fastest, but compiles them anew in every process unless its configuration
//! says where to keep them. It finds them again by their names, so that a program built again could meet kernels of its
//! former self: each build has a folder of its own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Keeps kernels in the user's cache folder, unless a `cubecl.toml` or `burn.toml` names another, or a device has started.
pub(super) fn keep() {
    let Some(folder) = folder(|name| env::var_os(name)) else {
        return;
    };
    if CubeClRuntimeConfig::storage().lock().is_some() {
        return;
    }
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    if config.compilation.cache.is_none() {
        let own = folder.join(build());
        drop_others(&folder, &own);
        config.compilation.cache = Some(CacheConfig::File(own));
    }
    CubeClRuntimeConfig::set(config);
}

/// Where kernels of all builds are, by the environment.
fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let cache = path("XDG_CACHE_HOME")
        .or_else(|| Some(path("HOME")?.join(".cache")))
        .or_else(|| path("LOCALAPPDATA"))?;
    Some(cache.join("anyref").join("kernels"))
}

/// A name that another build of the program does not have.
fn build() -> String {
    let mut hasher = DefaultHasher::new();
    let program = env::current_exe().ok();
    let file = program.and_then(|program| fs::metadata(program).ok());
    if let Some(file) = file {
        file.len().hash(&mut hasher);
        file.modified().ok().hash(&mut hasher);
    }
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())
}

/// Removes what builds of a month ago have left; another program may use the others.
fn drop_others(folder: &Path, own: &Path) {
    const MONTH: u64 = 30 * 24 * 3600;
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|data| data.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        if entry.path() != own && age.is_some_and(|age| age.as_secs() > MONTH) {
            // One that stays takes space, and nothing else.
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
        // An empty variable is none.
        assert_eq!(with(&[("XDG_CACHE_HOME", "")]), None);
    }

    #[test]
    fn a_build_has_a_name_of_its_own_and_keeps_young_ones() {
        assert_eq!(build(), build());
        let folder = tempfile::tempdir().unwrap();
        let [own, other] = ["own", "other"].map(|name| folder.path().join(name));
        for path in [&own, &other] {
            fs::create_dir(path).unwrap();
        }
        drop_others(folder.path(), &own);
        assert!(own.is_dir() && other.is_dir());
    }
}
