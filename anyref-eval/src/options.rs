//! Options of an evaluation on stamp scenes.

use std::path::PathBuf;

use anyref_data::scenes::InstructionConfig;

use super::case::EvalKind;
use super::disturbance::Disturbance;

/// Options of an evaluation on stamp scenes.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// Kinds of questions.
    pub kinds: Vec<EvalKind>,
    /// Cases a kind.
    pub cases: usize,
    /// Questions asked at a time, at least 1.
    pub batch: usize,
    /// Where predictions, table and pictures go; an evaluation begun there is continued.
    pub out: PathBuf,
    /// Settings that may not change when an evaluation is continued: the scenes, the model and how
    /// it answers.
    pub settings: String,
    /// How the questions are made.
    pub instructions: InstructionConfig,
    /// Disturbance of the pictures and sounds before the model gets them.
    pub disturbance: Option<Disturbance>,
}

impl EvalOptions {
    /// Settings that may not change when an evaluation is continued.
    pub(crate) fn identity(&self) -> String {
        match self.disturbance {
            Some(disturbance) => format!("{}, {}", self.settings, disturbance.name()),
            None => self.settings.clone(),
        }
    }
}
