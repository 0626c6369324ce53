//! Labels among which sounds are classified.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// AudioSet's labels, one per line.
const AUDIOSET: &str = include_str!("audioset.txt");
/// Maximum bytes of a label file.
const MAX_BYTES: u64 = 1 << 20;

/// List of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundVocabulary {
    source: PathBuf,
    labels: Vec<String>,
}

impl Default for SoundVocabulary {
    fn default() -> Self {
        Self::audioset()
    }
}

impl SoundVocabulary {
    /// Display names of AudioSet's 527 classes.
    pub fn audioset() -> Self {
        Self {
            source: "AudioSet's labels".into(),
            labels: AUDIOSET.lines().map(str::to_owned).collect(),
        }
    }

    /// Reads a text file, one label per line.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than 1 MiB, not UTF-8 or empty, or has an empty line
    /// or a duplicate label, ignoring case.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let unreadable = |e: std::io::Error| Error::folder(path, format!("{e}; check the path"));
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_BYTES {
            let problem = format!("{size} bytes are no list of labels; give one label a line");
            return Err(Error::folder(path, problem));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(path, text.trim_start_matches('\u{feff}').lines()),
            Err(_) => Err(Error::folder(path, "is not UTF-8; save it as such")),
        }
    }

    /// Creates a vocabulary from labels in memory.
    ///
    /// # Errors
    /// When there are no labels, or one is empty or a duplicate, ignoring case.
    pub fn new<T: AsRef<str>>(labels: impl IntoIterator<Item = T>) -> Result<Self> {
        Self::parse("the list of sound labels".as_ref(), labels)
    }

    fn parse<T: AsRef<str>>(source: &Path, lines: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut labels = Vec::new();
        let mut seen = HashMap::new();
        for (number, line) in (1_usize..).zip(lines) {
            let label = line.as_ref().trim();
            if label.is_empty() {
                let problem = format!("line {number} is empty; give one label a line");
                return Err(Error::folder(source, problem));
            }
            if let Some(first) = seen.insert(label.to_lowercase(), number) {
                let problem = format!(
                    "line {number} has the label {label:?} of line {first} again; leave one out"
                );
                return Err(Error::folder(source, problem));
            }
            labels.push(label.to_owned());
        }
        if labels.is_empty() {
            return Err(Error::folder(source, "is empty; give one label a line"));
        }
        Ok(Self {
            source: source.into(),
            labels,
        })
    }

    /// Labels, in order.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// File, or a description of the labels' origin.
    pub fn source(&self) -> &Path {
        &self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audioset_has_its_527_classes_in_order() {
        let labels = SoundVocabulary::audioset().labels;
        assert_eq!(labels.len(), 527);
        let places = [(0, "Speech"), (74, "Dog"), (526, "Field recording")];
        for (place, label) in places {
            assert_eq!(labels[place], label);
        }
        // The built-in list is also valid as a custom one.
        assert_eq!(SoundVocabulary::new(&labels).unwrap().labels, labels);
    }
}
