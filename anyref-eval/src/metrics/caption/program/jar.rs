//! Start and end of Java programs.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::error::ProgramError;

/// Java program.
pub(super) struct Jar<'a> {
    pub(super) path: &'a Path,
    /// Usual file name.
    pub(super) name: &'static str,
    /// Files that it needs in its folder.
    pub(super) beside: &'static str,
}

/// A running program.
pub(super) struct Running {
    pub(super) child: Child,
    /// Thread that reads its standard error.
    errors: Option<thread::JoinHandle<String>>,
}

impl Jar<'_> {
    /// Starts `java MEMORY -jar PROGRAM ARGUMENTS` in the program's folder, where it looks for its
    /// files.
    pub(super) fn start(&self, memory: &str, arguments: &[&str]) -> Result<Running, ProgramError> {
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

    pub(super) fn stopped(&self, running: &mut Running, error: Option<io::Error>) -> ProgramError {
        let status = running.end();
        let said = running.errors.take().and_then(|thread| thread.join().ok());
        let said = said.unwrap_or_default();
        // The first line of a Java stack trace has the message.
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

    pub(super) fn answered(&self, answer: &str) -> ProgramError {
        ProgramError::Answer {
            jar: self.path.to_owned(),
            name: self.name,
            answer: answer.chars().take(80).collect(),
        }
    }
}

impl Running {
    /// Ends the process if it still runs; returns its exit status if it ended by itself.
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
