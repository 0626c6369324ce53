//! Errors of programs that score descriptions.

use std::path::PathBuf;

/// Failure of a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The program's file does not exist.
    #[error("{}: no such file; give the {name} of PyPI's package pycocoevalcap", .jar.display())]
    Missing {
        /// Path given for the program.
        jar: PathBuf,
        /// Usual file name of the program.
        name: &'static str,
    },
    /// Java cannot be started.
    #[error(
        "cannot start java for {} ({reason}): install a Java runtime, such as Debian's default-jre-headless, and have \
         `java` in the PATH", .jar.display()
    )]
    Java {
        /// Path of the program.
        jar: PathBuf,
        /// Error of the operating system.
        reason: String,
    },
    /// The program ended early, or failed.
    #[error("{} stopped ({reason}): is it the {name} of pycocoevalcap, with {beside} beside it?", .jar.display())]
    Stopped {
        /// Path of the program.
        jar: PathBuf,
        /// Usual file name of the program.
        name: &'static str,
        /// Files that the program needs in its folder.
        beside: &'static str,
        /// Last message of the program.
        reason: String,
    },
    /// The program printed unexpected output.
    #[error("{} answered {answer:?}: is it the {name} of pycocoevalcap?", .jar.display())]
    Answer {
        /// Path of the program.
        jar: PathBuf,
        /// Usual file name of the program.
        name: &'static str,
        /// Output of the program.
        answer: String,
    },
    /// A file for the program cannot be written or read.
    #[error("{}: {reason}; is there space left in the temporary folder?", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        reason: String,
    },
}
