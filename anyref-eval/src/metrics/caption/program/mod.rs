//! Scores computed by Java programs, the user's own copies: METEOR 1.5 with its four stages, and
//! SPICE.
//!
//! The programs are called as pycocoevalcap calls them, with the words of
//! [`tokenize`](super::tokenize). Its package on PyPI contains both programs, METEOR's paraphrase
//! tables, and a script for the models of SPICE's parser.

mod error;
mod jar;
mod meteor;
mod spice;

pub use error::ProgramError;
pub use meteor::MeteorStats;

use std::path::PathBuf;

use super::tokenizer::Words;

/// Paths of the programs; a program without a path is not run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// `meteor-1.5.jar`, with `data/paraphrase-en.gz` beside it.
    pub meteor: Option<PathBuf>,
    /// `spice-1.0.jar`, with `lib` beside it.
    pub spice: Option<PathBuf>,
}

/// Scores of each description by the programs that were run.
#[derive(Debug, Default)]
pub(super) struct ProgramScores {
    pub(super) meteor: Option<Vec<MeteorStats>>,
    pub(super) spice: Option<Vec<f64>>,
}

impl Programs {
    /// Runs the programs that are given.
    pub(super) fn ask(
        &self,
        samples: &[(Words, Vec<Words>)],
    ) -> Result<ProgramScores, ProgramError> {
        let meteor = self.meteor.as_deref().map(|jar| meteor::ask(jar, samples));
        let spice = self.spice.as_deref().map(|jar| spice::ask(jar, samples));
        Ok(ProgramScores {
            meteor: meteor.transpose()?,
            spice: spice.transpose()?,
        })
    }
}
