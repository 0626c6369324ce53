//! Log of metrics as JSON lines, and for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyref_weights::write_atomic;
use serde_json::{Map, Value, json};

use super::error::Result;
use super::tensorboard::EventFile;
use crate::file_error::FileError;

/// Folder of TensorBoard's file, beside the log.
const TENSORBOARD: &str = "tensorboard";

/// Log with one JSON object a line; every line has `stage`, `step` and `kind`. A folder
/// `tensorboard` beside the log holds the same numbers under the tags `STAGE/KIND/NAME`.
#[derive(Debug)]
pub(super) struct MetricLog {
    path: PathBuf,
    file: File,
    events: EventFile,
    /// Whether the last line could not be written.
    failing: bool,
}

impl MetricLog {
    /// Opens the log. Steps from `stage`/`step` on are dropped, because a resumed run repeats them.
    /// A validation is numbered by the steps before it, so the one at `step` itself stays.
    ///
    /// # Errors
    /// When the log cannot be opened or written, or the folder `tensorboard` beside it cannot be
    /// written.
    pub(super) fn open(path: &Path, stage: usize, step: u64) -> Result<Self> {
        let mut kept = Vec::new();
        if path.exists() {
            let before = File::open(path).map_err(FileError::of("read", path))?;
            kept = BufReader::new(before)
                .lines()
                .map_while(core::result::Result::ok)
                .filter(|line| {
                    serde_json::from_str::<Value>(line).is_ok_and(|value| {
                        let at = (value["stage"].as_u64(), value["step"].as_u64());
                        let from = (Some(stage as u64), Some(step));
                        at < from || (at == from && value["kind"] == "validation")
                    })
                })
                .collect::<Vec<_>>();
            let mut text = kept.join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            write_atomic(path, text)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(FileError::of("write", path))?;
        let folder = path.with_file_name(TENSORBOARD);
        let unwritten = |source| FileError::of("write into", &folder)(source);
        let mut events = EventFile::create(&folder).map_err(unwritten)?;
        for line in kept {
            add(&mut events, &serde_json::from_str(&line)?).map_err(unwritten)?;
        }
        events.flush().map_err(unwritten)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            events,
            failing: false,
        })
    }

    /// Writes a line. If that fails, as on a full disk, the run continues without it: a warning is
    /// logged, once for all consecutive failures, and the next line is tried again.
    pub(super) fn write(&mut self, kind: &str, stage: usize, step: u64, metrics: &[(String, f64)]) {
        let mut line = Map::new();
        line.insert("kind".into(), json!(kind));
        line.insert("stage".into(), json!(stage));
        line.insert("step".into(), json!(step));
        for (name, value) in metrics {
            line.insert(name.clone(), json!(value));
        }
        let written = self.append(&Value::Object(line));
        if let Some(complaint) = self.complaint(written) {
            log::warn!("{complaint}");
        }
    }

    /// Writes a line to both files; a failure of one does not prevent the other.
    fn append(&mut self, line: &Value) -> Result<(), FileError> {
        let log = add_line(&mut self.file, line).map_err(FileError::of("write", &self.path));
        let folder = self.path.with_file_name(TENSORBOARD);
        let events = add_event(&mut self.events, line);
        log.and(events.map_err(FileError::of("write into", &folder)))
    }

    /// Warning about a line that could not be written, if the one before it could.
    fn complaint(&mut self, written: Result<(), FileError>) -> Option<String> {
        let error = written.err();
        let told = std::mem::replace(&mut self.failing, error.is_some());
        let error = error.filter(|_| !told)?;
        Some(format!(
            "{error}: the run goes on, and its log lacks lines until it can be written"
        ))
    }
}

/// Appends a line to the log atomically: half a line would damage the next.
fn add_line(file: &mut File, line: &Value) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = file.write_all(format!("{line}\n").as_bytes());
    if written.is_err() {
        let _ = file.set_len(before);
    }
    written
}

/// Adds the numbers of a line to TensorBoard's file. Events that could not be written before go
/// first: an event that begins in an empty buffer stays in it as a whole until it can be written.
fn add_event(events: &mut EventFile, line: &Value) -> io::Result<()> {
    events.flush()?;
    add(events, line)?;
    events.flush()
}

/// Adds the numbers of a line of the log.
fn add(events: &mut EventFile, line: &Value) -> io::Result<()> {
    let Some(fields) = line.as_object() else {
        return Ok(());
    };
    let (stage, kind) = (&line["stage"], line["kind"].as_str().unwrap_or_default());
    let scalars: Vec<_> = fields
        .iter()
        .filter(|(name, _)| !["stage", "step"].contains(&name.as_str()))
        .filter_map(|(name, value)| Some((format!("{stage}/{kind}/{name}"), value.as_f64()?)))
        .collect();
    let step = line["step"].as_u64().unwrap_or(0);
    let scalars = scalars.iter().map(|(tag, value)| (tag.as_str(), *value));
    events.scalars(step, scalars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resuming_drops_the_lines_that_will_be_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricLog::open(&path, 0, 0).unwrap();
        for step in 0..5 {
            log.write("train", 0, step, &[("loss".into(), 1.0)]);
            log.write("validation", 0, step + 1, &[("iou".into(), 1.0)]);
        }
        drop(log);
        let mut log = MetricLog::open(&path, 0, 3).unwrap();
        log.write("train", 0, 3, &[("loss".into(), 2.0)]);
        let text = std::fs::read_to_string(&path).unwrap();
        let count = |kind: &str| text.lines().filter(|line| line.contains(kind)).count();
        assert_eq!((count("train"), count("validation")), (4, 3));
        assert!(text.lines().last().unwrap().contains("2.0"));
    }

    #[test]
    fn a_line_that_cannot_be_written_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricLog::open(&path, 0, 0).unwrap();
        let write = |log: &mut MetricLog, step| {
            let loss = [("loss".to_owned(), 1.0)];
            log.write("train", 0, step, &loss);
            log.failing
        };
        assert!(!write(&mut log, 0));
        // A file opened for reading refuses lines, as a full disk does.
        let good = std::mem::replace(&mut log.file, File::open(&path).unwrap());
        assert!(write(&mut log, 1) && write(&mut log, 2));
        log.file = good;
        assert!(!write(&mut log, 3));
        let text = std::fs::read_to_string(&path).unwrap();
        let step = |line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64();
        let steps: Vec<_> = text.lines().filter_map(step).collect();
        assert_eq!(steps, [0, 3]);
    }

    #[test]
    fn lines_in_a_row_are_complained_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = MetricLog::open(&folder.path().join("metrics.jsonl"), 0, 0).unwrap();
        let full = || {
            let full = io::Error::other("no space left");
            Err(FileError::of("write", Path::new("metrics.jsonl"))(full))
        };
        assert_eq!(log.complaint(Ok(())), None);
        let said = log.complaint(full()).unwrap();
        assert!(said.contains("no space left"), "{said}");
        assert_eq!(log.complaint(full()), None);
        assert_eq!(log.complaint(Ok(())), None);
        assert!(log.complaint(full()).is_some());
    }
}
