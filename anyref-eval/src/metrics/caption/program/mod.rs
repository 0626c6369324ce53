//! Scores that Java programs give, run by the user's own copies: METEOR 1.5 with its four stages,
//! and SPICE.
//!
//! They are asked as pycocoevalcap asks them, with the words of [`tokenize`](super::tokenize). Its
//! package on PyPI brings both programs, METEOR's tables of paraphrases, and a script for the
//! models of SPICE's parser.

mod error;
mod jar;
mod meteor;
mod spice;

pub use error::ProgramError;
pub use meteor::MeteorStats;

use std::path::PathBuf;

use super::tokenizer::Words;

/// Where the programs are; one that is not given is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// `meteor-1.5.jar`, with `data/paraphrase-en.gz` beside it.
    pub meteor: Option<PathBuf>,
    /// `spice-1.0.jar`, with `lib` beside it.
    pub spice: Option<PathBuf>,
}

/// Answers of the programs to each description, where they are given.
#[derive(Debug, Default)]
pub(super) struct ProgramScores {
    pub(super) meteor: Option<Vec<MeteorStats>>,
    pub(super) spice: Option<Vec<f64>>,
}

impl Programs {
    /// Asks the programs that are given.
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
