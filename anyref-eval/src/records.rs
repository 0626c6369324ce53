//! Append-only files with one record a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// File of records, open for appending.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    file: File,
}

impl Records {
    /// Opens a file, creating it if it does not exist, and reads its records. A last line cut short
    /// by a kill is truncated in place: earlier records are not rewritten, so that another kill
    /// cannot lose them.
    ///
    /// # Errors
    /// When the file cannot be read or written, or a line other than the last is no record.
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>)> {
        let mut records = Self::append_to(path)?;
        let mut bytes = Vec::new();
        records
            .file
            .read_to_end(&mut bytes)
            .map_err(Error::read(path))?;
        let mut found = Vec::new();
        let mut whole = 0;
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        for (index, line) in lines.iter().enumerate() {
            match serde_json::from_slice(line) {
                Ok(record) => {
                    found.push(record);
                    whole += line.len();
                }
                Err(_) if index + 1 == lines.len() => records
                    .file
                    .set_len(whole as u64)
                    .map_err(Error::write(path))?,
                Err(error) => {
                    return Err(Error::Record {
                        path: path.to_owned(),
                        line: index + 1,
                        reason: error.to_string(),
                    });
                }
            }
        }
        // A kill may come between a record and the end of its line.
        if whole == bytes.len() && bytes.last().is_some_and(|&byte| byte != b'\n') {
            records.file.write_all(b"\n").map_err(Error::write(path))?;
        }
        Ok((records, found))
    }

    /// Opens a file for appending without reading its records.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append_to(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).read(true).append(true).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: file.map_err(Error::write(path))?,
        })
    }

    /// Appends a record with a single write.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, record: &impl Serialize) -> Result<()> {
        serde_json::to_string(record)
            .map_err(io::Error::from)
            .and_then(|line| self.file.write_all((line + "\n").as_bytes()))
            .map_err(Error::write(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn records_are_added_to_whole_lines_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        for (before, count) in [("", 0), ("{}\n{\"i", 1), ("{}\n7", 2), ("{}\n{\"i\n", 1)] {
            fs::write(&path, before).unwrap();
            let (mut records, found) = Records::open::<Value>(&path).unwrap();
            assert_eq!(found.len(), count, "{before}");
            records.add(&json!({"id": "a"})).unwrap();
            let (_, found) = Records::open::<Value>(&path).unwrap();
            assert_eq!(found.len(), count + 1, "{before}");
            assert_eq!(found[count]["id"], "a");
        }
        fs::write(&path, "{}\n{\"i\n{}\n").unwrap();
        let line = Records::open::<Value>(&path).unwrap_err().to_string();
        assert!(line.contains("records.jsonl line 2: "), "{line}");
    }

    /// Variable with the file's path, for the process that may not write.
    const FILE: &str = "ANYREF_TEST_RECORDS";

    /// Part of the test below, which runs it in a process that may not write.
    #[test]
    fn half_a_line_is_cut_off_without_writing() {
        let Some(path) = std::env::var_os(FILE) else {
            return;
        };
        let (_, found) = Records::open::<Value>(Path::new(&path)).unwrap();
        assert_eq!(found.len(), 2);
    }

    #[test]
    #[cfg(unix)]
    fn a_kill_at_the_first_byte_written_on_resume_loses_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        fs::write(&path, "{\"id\": 1}\n{\"id\": 2}\n{\"id\":").unwrap();
        // The system kills a process that writes more to a file than its limit allows.
        let status = std::process::Command::new("sh")
            .args(["-c", "ulimit -f 0 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "records::tests::half_a_line_is_cut_off_without_writing",
            ])
            .env(FILE, &path)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        let left = fs::read_to_string(&path).unwrap();
        assert_eq!(left, "{\"id\": 1}\n{\"id\": 2}\n");
        assert!(status.success(), "{status}");
    }
}
