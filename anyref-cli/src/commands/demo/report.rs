//! Report of the demonstration's answers.

use std::time::Duration;

use anyhow::Result;
use anyref_core::{Answer, BackendName};
use anyref_data::scenes::Kind;
use anyref_data::scenes::demo::DemoTask;
use anyref_decoder::rle::{Merge, Rle};
use serde::Serialize;

use crate::output::milliseconds;

/// Report of all answers, the content of `answers.json`.
#[derive(Debug, Serialize)]
pub struct Report {
    model: String,
    backend: String,
    /// Reports of the answers.
    pub tasks: Vec<TaskReport>,
}

/// Report of one answer beside the ground truth.
#[derive(Debug, Serialize)]
pub struct TaskReport {
    kind: Kind,
    question: String,
    answer: String,
    expected: String,
    /// IoU of all masks together; `None` if there is no target.
    iou: Option<f64>,
    masks: Vec<Rle>,
    expected_masks: Vec<Rle>,
    ms: f64,
    overlay: String,
}

/// Word for a kind in file names and lines.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::BoxToText => "box",
        Kind::Image => "picture",
        Kind::Audio => "sound",
        Kind::Mixed => "mixture",
        Kind::Absent => "absent",
    }
}

impl TaskReport {
    /// Compares an answer with the ground truth.
    pub fn new(
        task: &DemoTask,
        question: String,
        answer: &Answer,
        time: Duration,
        overlay: String,
    ) -> Result<Self> {
        let masks: Vec<Rle> = answer.masks.iter().map(|mask| mask.rle.clone()).collect();
        let iou = match (masks.is_empty(), task.masks.is_empty()) {
            (_, true) => None,
            (true, false) => Some(0.0),
            (false, false) => {
                let found = Rle::merge(&masks, Merge::Union)?;
                Some(found.iou(&Rle::merge(&task.masks, Merge::Union)?)?)
            }
        };
        Ok(Self {
            kind: task.kind,
            question,
            answer: answer.text.clone(),
            expected: task.answer.clone(),
            iou,
            masks,
            expected_masks: task.masks.clone(),
            ms: milliseconds(time),
            overlay,
        })
    }

    /// Quality of the answer, in words or as an IoU.
    pub fn verdict(&self) -> String {
        match self.iou {
            Some(iou) => format!("(IoU {iou:.2})"),
            None if self.masks.is_empty() => "(right: no mask)".into(),
            None => "(wrong: a mask)".into(),
        }
    }

    /// Line about the answer.
    pub fn line(&self) -> String {
        let (kind, ms) = (kind_name(self.kind), self.ms);
        let expected = match self.answer == self.expected {
            true => String::new(),
            false => format!(" [true answer: {}]", self.expected),
        };
        format!(
            "  {kind:<8}{} -> {} {}{expected} {ms:.0} ms",
            self.question,
            self.answer,
            self.verdict()
        )
    }
}

impl Report {
    /// Report without answers.
    pub fn new(model: &str, backend: BackendName) -> Self {
        Self {
            model: model.into(),
            backend: backend.to_string(),
            tasks: Vec::new(),
        }
    }

    /// Serialises the report.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Lines of the summary, one a kind.
    pub fn summary(&self) -> Vec<String> {
        let kinds = [
            Kind::Text,
            Kind::BoxToText,
            Kind::Image,
            Kind::Audio,
            Kind::Mixed,
            Kind::Absent,
        ];
        let line = |kind: Kind| {
            let of_kind = || self.tasks.iter().filter(move |task| task.kind == kind);
            let count = of_kind().count();
            let name = kind_name(kind);
            if kind == Kind::Absent {
                let right = of_kind().filter(|task| task.masks.is_empty()).count();
                return format!("{name:<8}no mask where nothing is: {right} of {count}");
            }
            let mean = of_kind().filter_map(|task| task.iou).sum::<f64>() / count.max(1) as f64;
            let exact = of_kind()
                .filter(|task| task.answer == task.expected)
                .count();
            format!("{name:<8}mean IoU {mean:.2}, answer word for word in {exact} of {count}")
        };
        kinds.into_iter().map(line).collect()
    }
}
