//! Metrics as JSON lines, and the same for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::tensorboard::EventFile;

/// Appends one JSON object a line; every line has `stage`, `step` and `kind`. A folder `tensorboard` beside
/// the log holds the same numbers, by tags `STAGE/KIND/NAME`.
#[derive(Debug)]
pub struct MetricLog {
    file: File,
    events: EventFile,
}

impl MetricLog {
    /// Opens the log. Steps from `stage`/`step` on are dropped, since a resumed run takes them again. A
    /// validation is numbered by the steps before it, so that of `step` itself stays.
    ///
    /// # Errors
    /// When the log cannot be opened or written, or the folder `tensorboard` beside it cannot be written.
    pub fn open(path: &Path, stage: usize, step: u64) -> Result<Self> {
        let mut kept = Vec::new();
        if path.exists() {
            kept = BufReader::new(File::open(path)?)
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
            let partial = path.with_extension("partial");
            std::fs::write(&partial, text)?;
            std::fs::rename(&partial, path)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let folder = path.with_file_name("tensorboard");
        let mut events = EventFile::create(&folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        for line in kept {
            add(&mut events, &serde_json::from_str(&line)?)?;
        }
        events.flush()?;
        Ok(Self { file, events })
    }

    /// Writes a line.
    ///
    /// # Errors
    /// When the log or TensorBoard's file cannot be written, as on a full disk.
    pub fn write(
        &mut self,
        kind: &str,
        stage: usize,
        step: u64,
        metrics: &[(String, f64)],
    ) -> Result<()> {
        let mut line = Map::new();
        line.insert("kind".into(), json!(kind));
        line.insert("stage".into(), json!(stage));
        line.insert("step".into(), json!(step));
        for (name, value) in metrics {
            line.insert(name.clone(), json!(value));
        }
        let line = Value::Object(line);
        writeln!(self.file, "{line}")?;
        self.file.flush()?;
        add(&mut self.events, &line)?;
        Ok(self.events.flush()?)
    }
}

/// Adds the numbers of a line of the log.
fn add(events: &mut EventFile, line: &Value) -> Result<()> {
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
    Ok(events.scalars(step, scalars)?)
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
            log.write("train", 0, step, &[("loss".into(), 1.0)])
                .unwrap();
            log.write("validation", 0, step + 1, &[("iou".into(), 1.0)])
                .unwrap();
        }
        drop(log);
        let mut log = MetricLog::open(&path, 0, 3).unwrap();
        log.write("train", 0, 3, &[("loss".into(), 2.0)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let count = |kind: &str| text.lines().filter(|line| line.contains(kind)).count();
        assert_eq!((count("train"), count("validation")), (4, 3));
        assert!(text.lines().last().unwrap().contains("2.0"));
    }
}
