//! Scores as a Markdown table or as JSON.

use serde::Serialize;

use super::confidence::{Difference, Score};
use super::table_cell::{NOTHING, cell};

/// Decimal places of scores: test sets are large.
const DIGITS: usize = 4;

/// Scores of predictions, and their comparison with others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreTable {
    /// Name of the benchmark.
    pub benchmark: &'static str,
    /// Number of questions answered.
    pub questions: usize,
    /// Number of samples that intervals draw from: questions, or batches of frames.
    pub samples: usize,
    /// Number of questions that the system refused.
    pub refused: usize,
    /// Scores of the predictions.
    pub scores: Vec<Score>,
    /// Comparison with other predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
    /// Notes on the scores.
    pub notes: Vec<String>,
}

/// Comparison with other predictions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Scores of the others.
    pub scores: Vec<Score>,
    /// Differences: the first scores less the others'.
    pub differences: Vec<Difference>,
}

impl ScoreTable {
    /// Markdown table, with a line about the benchmark above and the notes below.
    pub fn markdown(&self) -> String {
        let mut text = format!("{}, {} questions", self.benchmark, self.questions);
        if self.samples != self.questions {
            text += &format!(" in {} batches", self.samples);
        }
        text += "\n\n";
        match &self.against {
            None => {
                text += "| score | value (95 %) |\n| --- | --- |\n";
                for score in &self.scores {
                    text += &format!(
                        "| {} | {} |\n",
                        score.name,
                        cell(score.value, score.interval, DIGITS)
                    );
                }
            }
            Some(Comparison {
                scores,
                differences,
            }) => {
                text += "| score | value (95 %) | against (95 %) | difference (95 %) | p |\n";
                text += "| --- | --- | --- | --- | --- |\n";
                for ((one, other), row) in self.scores.iter().zip(scores).zip(differences) {
                    text += &format!(
                        "| {} | {} | {} | {} | {} |\n",
                        one.name,
                        cell(one.value, one.interval, DIGITS),
                        cell(other.value, other.interval, DIGITS),
                        cell(row.difference, row.interval, DIGITS),
                        row.p.map_or(NOTHING.into(), |p| format!("{p:.3}")),
                    );
                }
            }
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }
}
