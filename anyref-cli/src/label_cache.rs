//! Folder that keeps the embeddings of labels of sounds, and nano's weights where the program does
//! not carry them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Environment variable with the folder.
const VARIABLE: &str = "ANYREF_CACHE";

/// Folder that was given, or else of `ANYREF_CACHE`, `XDG_CACHE_HOME/anyref` or `~/.cache/anyref`;
/// `None` without a home.
pub fn label_cache(given: Option<&Path>) -> Option<PathBuf> {
    choose(given, |name| std::env::var_os(name))
}

fn choose(given: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| {
        let value = variable(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let of_users = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    given
        .map(Path::to_path_buf)
        .or_else(|| folder(VARIABLE))
        .or_else(|| Some(of_users()?.join("anyref")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_is_named_counts() {
        let chosen = |given: Option<&str>, set: &[(&str, &str)]| {
            choose(given.map(Path::new), |name| {
                let found = set.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| value.into())
            })
        };
        let all = [
            (VARIABLE, "/own"),
            ("XDG_CACHE_HOME", "/xdg"),
            ("HOME", "/home"),
        ];
        assert_eq!(chosen(Some("here"), &all), Some("here".into()));
        assert_eq!(chosen(None, &all), Some("/own".into()));
        assert_eq!(chosen(None, &all[1..]), Some("/xdg/anyref".into()));
        assert_eq!(chosen(None, &all[2..]), Some("/home/.cache/anyref".into()));
        assert_eq!(chosen(None, &[(VARIABLE, "")]), None);
    }
}
