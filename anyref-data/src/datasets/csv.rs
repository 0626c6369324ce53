//! Comma-separated tables with a header.

use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::files;

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let text = files::text(path)?;
        let mut rows = records(text.trim_start_matches('\u{feff}'));
        if rows.is_empty() {
            return Err(Error::format(path, "the table has no header"));
        }
        let header = rows.remove(0);
        if let Some(at) = rows.iter().position(|row| row.len() != header.len()) {
            let (found, expected) = (rows[at].len(), header.len());
            return Err(Error::Line {
                path: path.to_owned(),
                line: at + 2,
                reason: format!("{found} columns instead of the header's {expected}"),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            header,
            rows,
        })
    }

    /// Position of a column.
    pub(super) fn column(&self, name: &str) -> Result<usize> {
        let found = self.header.iter().position(|column| column == name);
        found.ok_or_else(|| {
            let columns = self.header.join(", ");
            Error::format(&self.path, format!("no column `{name}` in: {columns}"))
        })
    }

    /// Number of columns.
    pub(super) fn width(&self) -> usize {
        self.header.len()
    }

    pub(super) fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }
}

/// Fields may be in quotes, in which a quote is written twice.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted && characters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows.retain(|row| row.len() > 1 || row.iter().any(|field| !field.is_empty()));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_may_hold_commas_lines_and_quotes() {
        let text = "a,b\r\n\"x, \"\"y\"\"\",2\n\n,\"l1\nl2\"";
        assert_eq!(
            records(text),
            [vec!["a", "b"], vec!["x, \"y\"", "2"], vec!["", "l1\nl2"]]
        );
    }
}
