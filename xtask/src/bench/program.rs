//! Program that describes itself on one line, then answers every line with the seconds of a run.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// Pause before a turn, in which the threads of the program before stop spinning and fall asleep:
/// without it llama.cpp's take a third of the processor from the next one.
const PAUSE: Duration = Duration::from_millis(300);

/// Program that waits for requests; it is killed when dropped.
pub struct Program {
    /// Description on its first line.
    pub about: Value,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts a program and waits until it is ready.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().display().to_string();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .context("no pipes")?;
        let mut program = Self {
            about: Value::Null,
            child,
            input,
            output: BufReader::new(output),
        };
        let line = program.line()?;
        program.about =
            serde_json::from_str(&line).with_context(|| format!("unexpected output: {line}"))?;
        Ok(program)
    }

    /// Id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of a run.
    pub fn ask(&mut self, what: &str) -> Result<f64> {
        writeln!(self.input, "{what}").context("the benchmark ended: see above")?;
        let line = self.line()?;
        let seconds = line.trim().parse();
        seconds.with_context(|| format!("unexpected output: {line}"))
    }

    /// Seconds of a run among programs that take turns.
    pub fn take_turn(&mut self, what: &str) -> Result<f64> {
        thread::sleep(PAUSE);
        self.ask(what)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self.output.read_line(&mut line)?;
        anyhow::ensure!(length > 0, "the benchmark failed: see above");
        Ok(line)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It holds nothing that needs an orderly end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Number in a program's description.
pub fn number(about: &Value, name: &str) -> Result<f64> {
    let number = about[name].as_f64();
    number.with_context(|| format!("the benchmark gave no {name}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_answers_in_turns() {
        let script = r#"echo '{"bytes": 3}'; while read -r x; do echo "$x.5"; done"#;
        let mut program = Program::start(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(number(&program.about, "bytes").unwrap(), 3.0);
        assert!(number(&program.about, "more").is_err());
        assert_eq!(program.ask("2").unwrap(), 2.5);
        assert_eq!(program.ask("7").unwrap(), 7.5);
        assert!(program.ask("x").is_err());
        assert!(Program::start(Command::new("sh").args(["-c", "exit 1"])).is_err());
    }
}
