//! Completions and pages of the manual, as the program itself writes them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Shells, and names that they look for.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "anyref"),
    ("elvish", "anyref.elv"),
    ("fish", "anyref.fish"),
    ("powershell", "_anyref.ps1"),
    ("zsh", "_anyref"),
];

/// Writes `completions` and `man/man1` into a folder.
pub fn write(program: &Path, folder: &Path) -> Result<()> {
    for (shell, name) in SHELLS {
        let own = folder.join("completions").join(shell);
        fs::create_dir_all(&own)?;
        let script = output(Command::new(program).args(["completions", shell]))?;
        fs::write(own.join(name), script)?;
    }
    let pages = folder.join("man/man1");
    output(Command::new(program).arg("manual").arg("--out").arg(&pages))?;
    ensure!(
        pages.join("anyref.1").is_file(),
        "{} wrote no anyref.1",
        program.display()
    );
    Ok(())
}

/// Output of a program that succeeds.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        done.status.success(),
        "{program} failed with {}: {}",
        done.status,
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(done.stdout)
}
