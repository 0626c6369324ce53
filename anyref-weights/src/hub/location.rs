//! Locations on the hub.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

const SCHEME: &str = "hf://";
/// Default revision.
const MAIN: &str = "main";

/// Error of a location that is not of the form `hf://org/name[@revision][/path]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {reason}; write hf://org/name, hf://org/name@revision or hf://org/name/path")]
pub struct LocationError {
    /// Location as given.
    pub location: String,
    /// Faulty part and its expected form.
    pub reason: String,
}

/// Model repository of the hub, or a file or folder in it, written
/// `hf://org/name[@revision][/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubLocation {
    repository: Box<str>,
    revision: Option<Box<str>>,
    path: Option<Box<str>>,
}

impl HubLocation {
    /// Parses a path that begins with `hf://`; returns `None` for any other path.
    ///
    /// # Errors
    /// When the part after `hf://` is not of the form `org/name[@revision][/path]`.
    pub fn in_path(path: &Path) -> Option<Result<Self, LocationError>> {
        let text = path.to_string_lossy();
        text.starts_with(SCHEME).then(|| text.parse())
    }

    /// Organisation and name: `org/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Branch, tag or commit; `main` if none is given.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }

    /// File or folder of the repository; `None` stands for the whole repository.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

impl FromStr for HubLocation {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let wrong = |reason: &str| LocationError {
            location: text.chars().filter(|c| !c.is_control()).collect(),
            reason: reason.into(),
        };
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| wrong("does not begin with hf://"))?;
        let rest = rest.trim_end_matches('/');
        let (organisation, rest) = rest
            .split_once('/')
            .ok_or_else(|| wrong("names no model"))?;
        let end = rest.find(['@', '/']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        if !is_name(organisation) || !is_name(name) {
            return Err(wrong(
                "organisation and name are letters, digits, '-', '_' and '.'",
            ));
        }
        let (revision, path) = match rest.strip_prefix('@') {
            None => (None, rest.strip_prefix('/')),
            Some(rest) => {
                let (revision, path) = split_revision(rest);
                (Some(revision.replace("%2F", "/").replace("%2f", "/")), path)
            }
        };
        if revision
            .as_deref()
            .is_some_and(|revision| !is_path(revision))
        {
            return Err(wrong("the revision is not a valid branch, tag or commit"));
        }
        if path.is_some_and(|path| !is_path(path)) {
            return Err(wrong("the path in the repository is not one"));
        }
        Ok(Self {
            repository: format!("{organisation}/{name}").into(),
            revision: revision.map(Into::into),
            path: path.map(Into::into),
        })
    }
}

impl fmt::Display for HubLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.repository)?;
        if let Some(revision) = &self.revision {
            let whole = revision.contains('/') && split_revision(revision).1.is_some();
            match whole {
                true => write!(f, "@{}", revision.replace('/', "%2F"))?,
                false => write!(f, "@{revision}")?,
            }
        }
        match &self.path {
            Some(path) => write!(f, "/{path}"),
            None => Ok(()),
        }
    }
}

/// Splits off the revision, which ends at the first slash, except for `refs/pr/1`.
fn split_revision(text: &str) -> (&str, Option<&str>) {
    let slashes = match text.starts_with("refs/") {
        true => 2,
        false => 0,
    };
    match text.match_indices('/').nth(slashes) {
        Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn is_name(text: &str) -> bool {
    let usual = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.chars().all(usual) && !text.contains("..") && !text.starts_with('.')
}

/// Returns whether a text is a relative path without `.` or `..` that needs no escapes in a URL.
pub(super) fn is_path(text: &str) -> bool {
    let usual = |c: char| c.is_ascii_alphanumeric() || "-_.+=,@".contains(c);
    text.split('/')
        .all(|part| !matches!(part, "" | "." | "..") && part.chars().all(usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_taken_apart() {
        for (text, repository, revision, path) in [
            ("hf://org/name", "org/name", "main", None),
            ("hf://org/name/", "org/name", "main", None),
            ("hf://o-r.g/n_m-7b@v1.0", "o-r.g/n_m-7b", "v1.0", None),
            (
                "hf://org/name/config.json",
                "org/name",
                "main",
                Some("config.json"),
            ),
            (
                "hf://org/name@abc/sub/file.bin",
                "org/name",
                "abc",
                Some("sub/file.bin"),
            ),
            ("hf://org/name@refs/pr/7", "org/name", "refs/pr/7", None),
            (
                "hf://org/name@refs/pr/7/a.json",
                "org/name",
                "refs/pr/7",
                Some("a.json"),
            ),
            (
                "hf://org/name@my%2Fbranch/a.json",
                "org/name",
                "my/branch",
                Some("a.json"),
            ),
        ] {
            let location: HubLocation = text.parse().unwrap();
            let found = (location.repository(), location.revision(), location.path());
            assert_eq!(found, (repository, revision, path), "{text}");
            assert_eq!(location.to_string(), text.trim_end_matches('/'));
        }
        assert!(HubLocation::in_path(Path::new("models/nano")).is_none());
        assert!(HubLocation::in_path(Path::new("hf://org/name")).is_some_and(|l| l.is_ok()));
    }

    #[test]
    fn malformed_locations_are_refused_in_one_line() {
        for text in [
            "hf://",
            "hf://name",
            "hf:///name",
            "hf://org/",
            "hf://../name",
            "hf://org/na me",
            "hf://org/name@",
            "hf://org/name@../x",
            "hf://org/name/../../etc/passwd",
            "hf://org/name//x",
            "hf://org/name/a?b",
            "hf://org/name/a\nb",
        ] {
            let message = text.parse::<HubLocation>().unwrap_err().to_string();
            assert!(message.contains("hf://org/name@revision"), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
