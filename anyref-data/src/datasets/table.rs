//! Comma-separated tables with a header.

use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};

use super::error::{Error, Result};
use super::files;

/// Table whose rows all have the columns of its header.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    header: StringRecord,
    rows: Vec<StringRecord>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// When the file is not readable text, has no header, or has a row of another width than the
    /// header.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let text = files::text(path)?;
        let text = text.trim_start_matches('\u{feff}');
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut records = reader.into_records();
        let wrong = |e: csv::Error| Error::format(path, e);
        let header = records.next().transpose().map_err(wrong)?;
        let header = header.ok_or_else(|| Error::format(path, "the table has no header"))?;
        let mut rows = Vec::new();
        for row in records {
            let row = row.map_err(wrong)?;
            let (found, expected) = (row.len(), header.len());
            if found != expected {
                return Err(Error::Line {
                    path: path.to_owned(),
                    line: row
                        .position()
                        .map_or(0, |at| line(text, at.byte() as usize)),
                    reason: format!("{found} columns instead of the header's {expected}"),
                });
            }
            rows.push(row);
        }
        Ok(Self {
            path: path.to_owned(),
            header,
            rows,
        })
    }

    /// Position of a column.
    ///
    /// # Errors
    /// When the header has no column of this name.
    pub(super) fn column(&self, name: &str) -> Result<usize> {
        let found = self.header.iter().position(|column| column == name);
        found.ok_or_else(|| {
            let columns = self.header.iter().collect::<Vec<_>>().join(", ");
            Error::format(&self.path, format!("no column `{name}` in: {columns}"))
        })
    }

    /// Number of columns.
    pub(super) fn width(&self) -> usize {
        self.header.len()
    }

    /// Rows below the header.
    pub(super) fn rows(&self) -> &[StringRecord] {
        &self.rows
    }
}

/// Line number of the first character of a record that starts at byte `start`; empty lines before a
/// record belong to it.
fn line(text: &str, start: usize) -> usize {
    let record = text[start..].trim_start_matches(['\r', '\n']);
    let before = &text[..text.len() - record.len()];
    1 + before.matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        Table::open(&path)
    }

    #[test]
    fn quotes_may_hold_commas_lines_and_quotes() {
        let table = read("\u{feff}a,b\r\n\"x, \"\"y\"\"\",2\n\n,\"l1\nl2\"").unwrap();
        assert_eq!(table.column("a").unwrap(), 0);
        assert_eq!(table.column("b").unwrap(), 1);
        let rows: Vec<Vec<&str>> = table
            .rows()
            .iter()
            .map(|row| row.iter().collect())
            .collect();
        assert_eq!(rows, [vec!["x, \"y\"", "2"], vec!["", "l1\nl2"]]);
    }

    #[test]
    fn rows_of_another_width_are_named_by_their_line() {
        let line = read("a,b\n1,\"2\n3\"\n\n4\n").unwrap_err().to_string();
        assert!(
            line.contains("table.csv:5: 1 columns instead of the header's 2"),
            "{line}"
        );
        let line = read("\n\n").unwrap_err().to_string();
        assert!(line.contains("the table has no header"), "{line}");
    }
}
