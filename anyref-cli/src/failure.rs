//! Failure of a command: one line on stderr and an exit code.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Result;
use anyref_core::BackendError;
use anyref_ops::DeviceWatch;

/// Exit code of a fault in the program, equal to that of a panicking Rust program.
const FAULT: u8 = 101;

/// Message of the last panic. Some readers of broken files panic and are caught, so it is not
/// printed at once.
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Reports an error, if there is one, on one line.
pub fn report(ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Runs a command of a program, and reports an error, a failed device or a fault, if there is one,
/// on one line without a backtrace.
pub fn guard(program: &str, command: impl FnOnce() -> Result<()>) -> ExitCode {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            let place = info
                .location()
                .map(|place| format!(" ({}:{})", place.file(), place.line()));
            let said = info.payload_as_str().unwrap_or("unknown");
            *last = Some(said.to_owned() + &place.unwrap_or_default());
        }
    }));
    let watch = DeviceWatch::start();
    let ended = panic::catch_unwind(AssertUnwindSafe(command));
    if let Some(failure) = watch.failure()
        && !matches!(&ended, Ok(Err(error)) if error.is::<BackendError>())
    {
        // The device had failed before, whatever error the command met.
        return report(Err(failure.into()));
    }
    match ended {
        Ok(Err(error)) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Ok(ended) => report(ended),
        Err(_) => {
            eprintln!(
                "error: a fault in {program}, please report it: {}",
                last_panic()
            );
            ExitCode::from(FAULT)
        }
    }
}

/// Message of the last panic, on one line.
pub fn last_panic() -> String {
    let last = LAST_PANIC.lock().ok().and_then(|last| last.clone());
    join_lines(&last.unwrap_or_else(|| "unknown".into()))
}

/// Error and its causes on one line. Messages that already contain their cause do not repeat it.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(|cause| join_lines(&cause.to_string())) {
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    line
}

fn join_lines(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns whether the reader of the output has closed it, as in `anyref … | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};
    use std::process::{self, Command};
    use std::thread;

    /// Test that runs in a process of its own.
    const PROGRAM: &str = "failure::tests::a_program_whose_device_fails";

    #[test]
    #[ignore = "a program that another test runs"]
    fn a_program_whose_device_fails() {
        let code = guard("anyref", || {
            // Like a device thread of CubeCL, which continues after a panic.
            let thread = thread::Builder::new().name("DSU-0-0".into());
            let caught = thread.spawn(|| panic::catch_unwind(|| panic!("a kernel\nis missing")));
            assert!(caught?.join().unwrap().is_err());
            Ok(())
        });
        process::exit(i32::from(code != ExitCode::SUCCESS));
    }

    #[test]
    fn a_device_that_fails_ends_a_command_on_one_line() {
        let mut program = Command::new(std::env::current_exe().unwrap());
        let program = program.args([PROGRAM, "--exact", "--ignored", "--nocapture"]);
        let output = program.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.starts_with("error: the device failed"), "{told}");
        assert!(told.contains("a kernel is missing"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }

    #[test]
    fn causes_are_told_once_and_on_one_line() {
        let error = anyhow!("no such file").context("cannot read a.png: no such file");
        assert_eq!(one_line(&error), "cannot read a.png: no such file");
        let error = Err::<(), _>(anyhow!("line one\n  line two"))
            .context("b.png")
            .unwrap_err();
        assert_eq!(one_line(&error), "b.png: line one line two");
    }
}
