//! Masks and scores of the fixtures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyref_decoder::rle::Rle;
use anyref_eval::metrics::{Metric, Overlap};
use serde::Deserialize;
use tempfile::TempDir;

/// Largest difference from the reference implementations.
pub const TOLERANCE: f64 = 1e-6;

/// Predicted and true mask.
#[derive(Deserialize)]
pub struct Case {
    pub size: [usize; 2],
    pub predicted: String,
    pub truth: String,
    pub ignored: Option<String>,
    #[serde(default)]
    pub says_none: bool,
    #[serde(default)]
    pub is_none: bool,
    #[serde(default)]
    pub class: usize,
}

impl Case {
    pub fn overlap(&self) -> Overlap {
        let read = |counts: &String| Rle::from_compressed(counts, self.size).unwrap();
        let ignored = self.ignored.as_ref().map(read);
        Overlap::of(&read(&self.predicted), &read(&self.truth), ignored.as_ref()).unwrap()
    }
}

/// Scores by name.
pub type Scores = BTreeMap<String, f64>;

/// Compares a metric with the reference's values; scores that the reference lacks are not
/// compared.
pub fn assert_scores<M: Metric>(metric: &M, samples: &[M::Sample], expected: &Scores) {
    let found = metric
        .names()
        .into_iter()
        .zip(metric.scores(samples.iter()));
    let mut seen = 0;
    for (name, score) in found {
        let Some(expected) = expected.get(&name) else {
            continue;
        };
        let score = score.unwrap_or_else(|| panic!("{name} has no value"));
        assert!(
            (score - expected).abs() < TOLERANCE,
            "{name}: {score} instead of {expected}"
        );
        seen += 1;
    }
    assert_eq!(seen, expected.len(), "{expected:?}");
}

/// Temporary folder of files with given lines.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Writes lines, the last without a line end.
    pub fn write(&self, name: &str, lines: &[&str]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, lines.join("\n")).unwrap();
        path
    }
}
