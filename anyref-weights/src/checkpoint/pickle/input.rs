//! Bounded reading of a pickle's bytes.

use std::io::{BufReader, Read};

use super::super::file::DataFile;
use crate::error::{Error, Result, one_line};

/// Longest pickle read; that of a large model has about 200 bytes a tensor.
const MAX_PICKLE: u64 = 32 << 20;

/// The bytes of a file from an offset on.
struct Bytes<'a> {
    file: &'a DataFile,
    offset: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = self.file.len().saturating_sub(self.offset);
        let length = rest.min(buffer.len() as u64) as usize;
        self.file
            .read_into(self.offset, &mut buffer[..length])
            .map_err(|e| std::io::Error::other(e.to_string()))?;
        self.offset += length as u64;
        Ok(length)
    }
}

/// A pickle's bytes, one after the other.
pub(in super::super) struct Input<'a> {
    file: &'a DataFile,
    bytes: BufReader<Bytes<'a>>,
    position: u64,
    end: u64,
}

impl<'a> Input<'a> {
    /// A pickle of at most `length` bytes at `offset`.
    pub(in super::super) fn new(file: &'a DataFile, offset: u64, length: u64) -> Self {
        let bytes = BufReader::new(Bytes { file, offset });
        let end = offset.saturating_add(length.min(MAX_PICKLE));
        Self {
            file,
            bytes,
            position: offset,
            end,
        }
    }

    /// Offset in the file of the next byte.
    pub(in super::super) fn position(&self) -> u64 {
        self.position
    }

    /// An error of the file this pickle is in.
    pub(super) fn corrupt(&self, reason: impl AsRef<str>) -> Error {
        Error::corrupt(self.file.path(), reason)
    }

    /// Refuses a name.
    pub(super) fn foreign(&self, module: &str, name: &str) -> Error {
        let global = one_line(&format!("{module}.{name}"));
        Error::ForeignGlobal {
            path: self.file.path().into(),
            global,
        }
    }

    pub(super) fn take(&mut self, length: u64) -> Result<Vec<u8>> {
        if length > self.end.saturating_sub(self.position) {
            return Err(self.corrupt("the pickle ends early or is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.bytes
            .read_exact(&mut bytes)
            .map_err(|_| self.corrupt("the pickle ends before its last instruction"))?;
        self.position += length;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        if N as u64 > self.end.saturating_sub(self.position) {
            return Err(self.corrupt("the pickle ends early or is too long"));
        }
        let mut bytes = [0; N];
        self.bytes
            .read_exact(&mut bytes)
            .map_err(|_| self.corrupt("the pickle ends before its last instruction"))?;
        self.position += N as u64;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Text up to a line feed.
    pub(super) fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.utf8(line)
    }

    /// Text of a length.
    pub(super) fn text(&mut self, length: u64) -> Result<String> {
        let bytes = self.take(length)?;
        self.utf8(bytes)
    }

    fn utf8(&self, bytes: Vec<u8>) -> Result<String> {
        String::from_utf8(bytes).map_err(|_| self.corrupt("a text in the pickle is not UTF-8"))
    }

    /// A little-endian signed number of a length; what does not fit is of no use to tensors.
    pub(super) fn long(&mut self, length: u64) -> Result<Option<i64>> {
        let bytes = self.take(length)?;
        if bytes.len() > 8 {
            return Ok(None);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(&bytes);
        Ok(Some(i64::from_le_bytes(wide)))
    }
}
