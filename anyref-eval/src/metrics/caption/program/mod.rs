//! Scores that Java programs give, run by the user's own copies: METEOR 1.5 with its four stages, and SPICE.
//!
//! They are asked as pycocoevalcap asks them, with the words of [`tokenize`](super::tokenize). Its package on PyPI
//! brings both programs, METEOR's tables of paraphrases, and a script for the models of SPICE's parser.

mod meteor;
mod spice;

pub use meteor::MeteorStats;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::Words;

/// Where the programs are; one that is not given is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// `meteor-1.5.jar`, with `data/paraphrase-en.gz` beside it.
    pub meteor: Option<PathBuf>,
    /// `spice-1.0.jar`, with `lib` beside it.
    pub spice: Option<PathBuf>,
}

/// What can be wrong with a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// There is no such file.
    #[error("{}: no such file; give the {name} of PyPI's package pycocoevalcap", .jar.display())]
    Missing {
        /// The file.
        jar: PathBuf,
        /// Its usual name.
        name: &'static str,
    },
    /// Java cannot be started.
    #[error(
        "cannot start java for {} ({reason}): install a Java runtime, such as Debian's default-jre-headless, and have \
         `java` in the PATH", .jar.display()
    )]
    Java {
        /// The program.
        jar: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The program ended, or failed.
    #[error("{} stopped ({reason}): is it the {name} of pycocoevalcap, with {beside} beside it?", .jar.display())]
    Stopped {
        /// The program.
        jar: PathBuf,
        /// Its usual name.
        name: &'static str,
        /// The files that it needs in its folder.
        beside: &'static str,
        /// What it said last.
        reason: String,
    },
    /// The program said something else than it should.
    #[error("{} answered {answer:?}: is it the {name} of pycocoevalcap?", .jar.display())]
    Answer {
        /// The program.
        jar: PathBuf,
        /// Its usual name.
        name: &'static str,
        /// What it answered.
        answer: String,
    },
    /// A file for the program cannot be written or read.
    #[error("{}: {reason}; is there space left in the temporary folder?", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
}

/// What the programs say of each description, where they are given.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) meteor: Option<Vec<MeteorStats>>,
    pub(super) spice: Option<Vec<f64>>,
}

impl Programs {
    /// Asks the programs that are given.
    pub(super) fn ask(&self, samples: &[(Words, Vec<Words>)]) -> Result<Asked, ProgramError> {
        let meteor = self.meteor.as_deref().map(|jar| meteor::ask(jar, samples));
        let spice = self.spice.as_deref().map(|jar| spice::ask(jar, samples));
        Ok(Asked {
            meteor: meteor.transpose()?,
            spice: spice.transpose()?,
        })
    }
}

/// A program of Java's.
struct Jar<'a> {
    path: &'a Path,
    /// Its usual name.
    name: &'static str,
    /// The files that it needs in its folder.
    beside: &'static str,
}

/// A running program.
struct Running {
    child: Child,
    /// Reads what it says of errors.
    errors: Option<thread::JoinHandle<String>>,
}

impl Jar<'_> {
    /// Starts `java MEMORY -jar PROGRAM ARGUMENTS` in the program's folder, where it looks for its files.
    fn start(&self, memory: &str, arguments: &[&str]) -> Result<Running, ProgramError> {
        let missing = |_| ProgramError::Missing {
            jar: self.path.to_owned(),
            name: self.name,
        };
        let jar = self.path.canonicalize().map_err(missing)?;
        let mut command = Command::new("java");
        command.arg(memory).arg("-jar").arg(&jar).args(arguments);
        command.current_dir(jar.parent().unwrap_or(Path::new(".")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| ProgramError::Java {
            jar: self.path.to_owned(),
            reason: error.to_string(),
        })?;
        let errors = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut said = Vec::new();
                let _ = stderr.read_to_end(&mut said);
                String::from_utf8_lossy(&said).into_owned()
            })
        });
        Ok(Running { child, errors })
    }

    fn stopped(&self, running: &mut Running, error: Option<io::Error>) -> ProgramError {
        let status = running.end();
        let said = running.errors.take().and_then(|thread| thread.join().ok());
        let said = said.unwrap_or_default();
        // Of a trace of Java's the first line says what happened.
        let said = said.lines().find(|line| !line.trim().is_empty());
        let reason = said.map(str::to_owned).or(status);
        ProgramError::Stopped {
            jar: self.path.to_owned(),
            name: self.name,
            beside: self.beside,
            reason: reason
                .or(error.map(|error| error.to_string()))
                .unwrap_or_else(|| "without a word".to_owned()),
        }
    }

    fn answered(&self, answer: &str) -> ProgramError {
        ProgramError::Answer {
            jar: self.path.to_owned(),
            name: self.name,
            answer: answer.chars().take(80).collect(),
        }
    }
}

impl Running {
    /// Ends it if it still runs; its exit status, if it ended by itself.
    fn end(&mut self) -> Option<String> {
        drop(self.child.stdin.take());
        match self.child.try_wait() {
            Ok(Some(status)) => Some(status.to_string()),
            _ => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                None
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
