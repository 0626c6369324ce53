//! Sequential reading of a header.

use super::super::file::DataFile;
use crate::error::{Error, Result, one_line};

/// Bytes read from the file at once.
const CHUNK: u64 = 1 << 20;
/// Maximum length of a header; the largest vocabularies take a tenth of it.
const MAX_HEADER: u64 = 256 << 20;

/// Read position in a file.
pub(super) struct Cursor<'a> {
    file: &'a DataFile,
    buffer: Vec<u8>,
    /// Offset of the buffer in the file.
    start: u64,
    /// Offset of the next byte in the file.
    position: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a DataFile) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            start: 0,
            position: 0,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Creates an [`Error::Corrupt`] for this file.
    pub(super) fn corrupt(&self, reason: impl AsRef<str>) -> Error {
        Error::corrupt(self.file.path(), reason)
    }

    /// Reads the next bytes, which must be in the file.
    pub(super) fn bytes(&mut self, length: u64) -> Result<&[u8]> {
        self.file.check(self.position, length)?;
        let end = self.position + length;
        if end > MAX_HEADER {
            return Err(self.corrupt(format!("a header of more than {MAX_HEADER} bytes")));
        }
        if end > self.start + self.buffer.len() as u64 {
            let wanted = length.max(CHUNK).min(self.file.len() - self.position);
            self.buffer = self.file.read(self.position, wanted as usize)?;
            self.start = self.position;
        }
        let first = (self.position - self.start) as usize;
        self.position = end;
        Ok(&self.buffer[first..first + length as usize])
    }

    /// Reads the next bytes as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.bytes(N as u64)?;
        Ok(bytes.try_into().expect("as many bytes as asked for"))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a count of items that take at least `least` bytes each, for which the file must have
    /// room.
    pub(super) fn count(&mut self, least: u64) -> Result<usize> {
        let count = self.u64()?;
        self.file
            .check(self.position, count.saturating_mul(least))?;
        Ok(count as usize)
    }

    /// Reads a text. Invalid UTF-8 is replaced.
    pub(super) fn text(&mut self) -> Result<String> {
        let length = self.u64()?;
        Ok(String::from_utf8_lossy(self.bytes(length)?).into_owned())
    }

    /// Reads a name, which must be UTF-8 without control characters and of bounded length.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        const LONGEST: u64 = 65_535;
        let length = self.u64()?;
        self.file.check(self.position, length)?;
        if length > LONGEST {
            return Err(self.corrupt(format!("{what} of {length} bytes")));
        }
        let name = str::from_utf8(self.bytes(length)?).map(str::to_owned);
        match name {
            Ok(name) if !name.chars().any(char::is_control) => Ok(name),
            Ok(name) => Err(self.corrupt(format!("{what} `{}`", one_line(&name)))),
            Err(_) => Err(self.corrupt(format!("{what} is not UTF-8"))),
        }
    }
}
