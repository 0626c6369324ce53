//! Errors of programs that score descriptions.

use std::path::PathBuf;

/// Failure of a program.
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
        /// Its last words.
        reason: String,
    },
    /// The program said something else than it should.
    #[error("{} answered {answer:?}: is it the {name} of pycocoevalcap?", .jar.display())]
    Answer {
        /// The program.
        jar: PathBuf,
        /// Its usual name.
        name: &'static str,
        /// Its answer.
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
