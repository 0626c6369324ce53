//! `anyref completions` and `anyref manual`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use common::{fail, folder, run_in, succeed};

/// Commands that the program's own help lists.
fn commands() -> BTreeSet<String> {
    let help = succeed(folder().path(), &["--help"]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' '));
    let names: BTreeSet<String> = names
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .filter(|name| name != "help")
        .collect();
    assert!(
        names.contains("segment") && names.contains("completions"),
        "{names:?}"
    );
    names
}

/// Shells of this machine.
fn has(shell: &str) -> bool {
    let started = Command::new(shell)
        .args(["-c", "true"])
        .stderr(Stdio::null())
        .status();
    started.is_ok_and(|status| status.success())
}

#[test]
fn scripts_name_every_command() {
    let folder = folder();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = succeed(folder.path(), &["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
        assert!(script.contains("ref-image"), "{shell}");
        if ["bash", "fish", "zsh"].contains(&shell) && has(shell) {
            let path = folder.path().join(shell);
            fs::write(&path, &script).unwrap();
            let checked = Command::new(shell).arg("-n").arg(&path).output().unwrap();
            let told = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(
                checked.status.success() && told.is_empty(),
                "{shell}: {told}"
            );
        }
    }
    let run = run_in(folder.path(), &["completions", "command.com"], "");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("bash"), "{}", run.stderr);
    fail(
        folder.path(),
        &["completions", "bash", "--model", "x"],
        &["--model", "leave it out"],
    );
}

/// bash's own answer to the first letters of a command and of an option.
#[test]
fn bash_completes_commands_and_options() {
    if !has("bash") {
        return;
    }
    let folder = folder();
    let script = succeed(folder.path(), &["completions", "bash"]);
    let complete = |words: &str, current: &str, before: &str| {
        let count = words.split(' ').count() - 1;
        let ask = format!(
            "COMP_WORDS=({words}); COMP_CWORD={count}; _anyref anyref '{current}' '{before}'\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let program = format!("{script}\n{ask}");
        let output = Command::new("bash")
            .args(["-c", &program])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let found = String::from_utf8(output.stdout).unwrap();
        (found.lines().map(str::to_owned).collect::<Vec<_>>(), told)
    };
    let (found, told) = complete("anyref segm", "segm", "anyref");
    assert_eq!(found, ["segment"], "{told}");
    let (found, told) = complete("anyref segment --ref-i", "--ref-i", "segment");
    assert_eq!(found, ["--ref-image"], "{told}");
}

#[test]
fn every_command_has_a_page() {
    let folder = folder();
    let out = folder.path().join("new/man1");
    let shown = out.display().to_string();
    assert_eq!(succeed(folder.path(), &["manual", "--out", &shown]), "");
    let mut expected: BTreeSet<String> = commands()
        .iter()
        .map(|name| format!("anyref-{name}.1"))
        .collect();
    expected.insert("anyref.1".into());
    let found: BTreeSet<String> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected);
    let page = fs::read_to_string(out.join("anyref-segment.1")).unwrap();
    assert!(
        page.contains(".TH") && page.contains("ref\\-image"),
        "{page}"
    );
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("man").display().to_string();
    fail(
        folder.path(),
        &["manual", "--out", &below],
        &["cannot create", &below],
    );
}
