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
    /// Number of cases a kind.
    pub cases: usize,
    /// Questions in a batch, at least 1.
    pub batch: usize,
    /// Folder of predictions, table and pictures; an evaluation begun there is resumed.
    pub out: PathBuf,
    /// Settings that may not change when an evaluation is resumed: scenes, model and decoding.
    pub settings: String,
    /// Settings of the questions.
    pub instructions: InstructionConfig,
    /// Disturbance of the pictures and sounds, applied before preprocessing.
    pub disturbance: Option<Disturbance>,
}

impl EvalOptions {
    /// Settings that may not change when an evaluation is resumed, with the disturbance.
    pub(crate) fn identity(&self) -> String {
        match self.disturbance {
            Some(disturbance) => format!("{}, {}", self.settings, disturbance.name()),
            None => self.settings.clone(),
        }
    }
}
