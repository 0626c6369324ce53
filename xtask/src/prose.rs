//! `cargo xtask check-prose`: doc comments that open with a pronoun or a relative clause, and lines
//! of prose that are too long.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::cargo::root;

/// Number of faults of one kind at which the check fails.
const LIMIT: usize = 20;
/// Most columns of a line of prose.
const COLUMNS: usize = 100;
/// Words that a doc comment does not open with.
const OPENINGS: [&str; 19] = [
    "What", "That", "Those", "The same", "It", "They", "Its", "Their", "Which", "Who", "Whose",
    "Such", "How", "Where", "So many", "One that", "Them", "This", "These",
];

/// Options of `check-prose`.
#[derive(Debug, Args)]
pub struct CheckProse {
    /// Print the counts by crate alone, without the lines
    #[arg(long)]
    counts: bool,
    /// Look at files whose path starts with one of these alone [default: all]
    paths: Vec<String>,
}

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A doc comment opens with one of `OPENINGS`.
    Opening,
    /// A line is longer than `COLUMNS`.
    Long,
}

/// Prints every fault in the files that git knows or would add, and the counts by crate.
pub fn run(options: &CheckProse) -> Result<()> {
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for name in files()? {
        let wanted = options.paths.iter().any(|path| name.starts_with(path));
        if !options.paths.is_empty() && !wanted {
            continue;
        }
        // A file that is deleted but not yet committed is listed as well.
        let Ok(text) = fs::read_to_string(root().join(&name)) else {
            continue;
        };
        for (line, fault) in faults(&text, name.ends_with(".md")) {
            let folder = name.split_once('/').map_or("(root)", |(folder, _)| folder);
            counts.entry(folder.to_owned()).or_default()[fault as usize] += 1;
            if !options.counts {
                let shown = text.lines().nth(line - 1).unwrap_or_default().trim();
                let kind = match fault {
                    Fault::Opening => "opening",
                    Fault::Long => "long",
                };
                println!("{name}:{line}: {kind}: {shown}");
            }
        }
    }
    println!("{:20} {:>8} {:>8}", "", "openings", "long");
    for (folder, [openings, long]) in &counts {
        println!("{folder:20} {openings:8} {long:8}");
    }
    let total =
        |fault: Fault| -> usize { counts.values().map(|kinds| kinds[fault as usize]).sum() };
    let (openings, long) = (total(Fault::Opening), total(Fault::Long));
    println!("{:20} {openings:8} {long:8}", "all");
    if openings >= LIMIT || long >= LIMIT {
        bail!(
            "{openings} doc comments open with a word like `What` or `It`, {long} lines have more \
             than {COLUMNS} columns: fewer than {LIMIT} of each are allowed"
        );
    }
    Ok(())
}

/// Names of all Rust and Markdown files, from the root of the workspace.
fn files() -> Result<Vec<String>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git")
        .args(list)
        .args(["--", "*.rs", "*.md"])
        .current_dir(root())
        .output()
        .context("cannot start git, which lists the files")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        list.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Faults of a file, with the numbers of their lines from 1.
fn faults(text: &str, is_markdown: bool) -> Vec<(usize, Fault)> {
    let mut faults = Vec::new();
    let mut fenced = false;
    let mut before = None;
    for (line, number) in text.lines().zip(1..) {
        let trimmed = line.trim_start();
        let doc = doc_text(trimmed).filter(|_| !is_markdown);
        // A paragraph opens where no text stands in the line above.
        if before.is_none_or(str::is_empty) && doc.is_some_and(opens_badly) {
            faults.push((number, Fault::Opening));
        }
        before = doc;
        let prose = if is_markdown {
            fenced ^= trimmed.starts_with("```");
            (!fenced).then_some(trimmed)
        } else {
            trimmed
                .strip_prefix("//")
                .map(|text| text.trim_start_matches(['/', '!', ' ']))
        };
        let is_long = without_addresses(line) > COLUMNS;
        if is_long && prose.is_some_and(|prose| !prose.starts_with('|')) {
            faults.push((number, Fault::Long));
        }
    }
    faults
}

/// Text of a line of a doc comment.
fn doc_text(line: &str) -> Option<&str> {
    let text = line
        .strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"))?;
    (!text.starts_with('/')).then(|| text.trim())
}

fn opens_badly(text: &str) -> bool {
    OPENINGS.iter().any(|opening| {
        text.strip_prefix(opening)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
    })
}

/// Columns of a line, where addresses and the targets of links count nothing: they cannot be
/// broken.
fn without_addresses(line: &str) -> usize {
    let mut columns = 0;
    let mut rest = line;
    while let Some(at) = rest.find("](").into_iter().chain(rest.find("http")).min() {
        columns += rest[..at].chars().count();
        rest = &rest[at..];
        let end = rest.find([')', ' ', '>']).unwrap_or(rest.len());
        rest = &rest[end..];
    }
    columns + rest.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_found_where_a_paragraph_begins() {
        let text = "//! What it is.\n\n/// Size of a thing.\n/// It grows.\nstruct A;\n\
                    /// Name.\n///\n    /// It's short.\n/// Italy.\n\n/// The same, twice.\n\
                    // Its code.\n//// That.\n/// Such\n";
        let opening = Fault::Opening;
        let expected = [1, 8, 11, 14].map(|line| (line, opening));
        assert_eq!(faults(text, false), expected);
        // After code, a doc comment begins anew.
        assert_eq!(
            faults("/// A.\nstruct A;\n/// Such.\n", false),
            [(3, opening)]
        );
        // Markdown has no openings.
        assert_eq!(faults("/// What\nIt is.\n", true), []);
    }

    #[test]
    fn long_lines_are_counted_in_columns_without_addresses() {
        let exact = format!("/// {}", "é".repeat(COLUMNS - 4));
        assert_eq!(faults(&exact, false), []);
        assert_eq!(faults(&format!("{exact}é"), false), [(1, Fault::Long)]);
        // Code, tables and fenced blocks are left alone.
        let code = format!(
            "let a = \"{}\";\n/// | {} |\n",
            "x".repeat(120),
            "y".repeat(120)
        );
        assert_eq!(faults(&code, false), []);
        let words = "word ".repeat(30);
        let text = format!("```sh\n{words}\n```\n{words}\n| {words} |\n");
        assert_eq!(faults(&text, true), [(4, Fault::Long)]);
        let linked = format!(
            "see [here]({}) and https://{}",
            "a".repeat(90),
            "b".repeat(90)
        );
        assert_eq!(without_addresses(&linked), "see [here) and ".len());
    }
}
