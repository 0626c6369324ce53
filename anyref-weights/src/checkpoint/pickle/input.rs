//! Bounded reading of a pickle's bytes.

use std::io::{BufReader, Read};

use super::super::file::DataFile;
use crate::error::{Error, Result, one_line};

/// Maximum length of a pickle; that of a large model has about 200 bytes per tensor.
const MAX_PICKLE: u64 = 32 << 20;
/// Maximum length of a pickle of plain data; the largest published annotations have about 60 MB.
const MAX_PLAIN: u64 = 1 << 30;

/// Bytes of a file from an offset on.
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

/// Bytes of a pickle, read sequentially.
pub(in super::super) struct Input<'a> {
    file: &'a DataFile,
    bytes: BufReader<Bytes<'a>>,
    position: u64,
    end: u64,
    plain: bool,
}

impl<'a> Input<'a> {
    /// Input of at most `length` bytes at `offset`.
    pub(in super::super) fn new(file: &'a DataFile, offset: u64, length: u64) -> Self {
        let bytes = BufReader::new(Bytes { file, offset });
        let end = offset.saturating_add(length.min(MAX_PICKLE));
        Self {
            file,
            bytes,
            position: offset,
            end,
            plain: false,
        }
    }

    /// Input over a whole file of numbers, texts, lists and dictionaries.
    pub(super) fn plain(file: &'a DataFile) -> Self {
        Self {
            end: file.len().min(MAX_PLAIN),
            plain: true,
            ..Self::new(file, 0, 0)
        }
    }

    /// Returns whether the pickle may only hold plain data, without any global name.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Offset in the file of the next byte.
    pub(in super::super) fn position(&self) -> u64 {
        self.position
    }

    /// Creates an error about the file that contains the pickle.
    pub(super) fn corrupt(&self, reason: impl AsRef<str>) -> Error {
        Error::corrupt(self.file.path(), reason)
    }

    /// Creates the error for a name that is not allowed.
    pub(super) fn foreign(&self, module: &str, name: &str) -> Error {
        let global = one_line(&format!("{module}.{name}"));
        let path = self.file.path().into();
        match self.plain {
            true => Error::ForeignData { path, global },
            false => Error::ForeignGlobal { path, global },
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

    /// Reads text up to a line feed.
    pub(super) fn line(&mut self) -> Result<String> {
        let line = self.raw_line()?;
        self.utf8(line)
    }

    /// Reads a text in Python's printed form, with quotes and escapes.
    pub(super) fn quoted_line(&mut self) -> Result<String> {
        let line = self.raw_line()?;
        let quotes = line.first().zip(line.last());
        match quotes {
            Some((b'\'', b'\'') | (b'"', b'"')) if line.len() > 1 => {
                self.utf8(unescaped(&line[1..line.len() - 1], false))
            }
            _ => Err(self.corrupt("a text in the pickle is not in quotes")),
        }
    }

    /// Reads a text up to a line feed, in Latin-1 with `\uXXXX` for all other characters.
    pub(super) fn escaped_line(&mut self) -> Result<String> {
        let line = self.raw_line()?;
        self.utf8(unescaped(&line, true))
    }

    fn raw_line(&mut self) -> Result<Vec<u8>> {
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
        Ok(line)
    }

    /// Reads a text of a given length.
    pub(super) fn text(&mut self, length: u64) -> Result<String> {
        let bytes = self.take(length)?;
        self.utf8(bytes)
    }

    fn utf8(&self, bytes: Vec<u8>) -> Result<String> {
        String::from_utf8(bytes).map_err(|_| self.corrupt("a text in the pickle is not UTF-8"))
    }

    /// Reads a little-endian signed number of a given length; `None` if it does not fit, which
    /// tensors never need.
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

/// Decodes Python's escapes: those of printed texts, or with `unicode` those of its
/// raw-unicode-escape codec.
fn unescaped(line: &[u8], unicode: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    let push = |bytes: &mut Vec<u8>, code: u32| {
        let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
    };
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            match unicode {
                true => push(&mut bytes, byte.into()),
                false => bytes.push(byte),
            }
            continue;
        }
        let code = rest.first().copied();
        let digits = match (code, unicode) {
            (Some(b'u'), true) => 4,
            (Some(b'U'), true) => 8,
            (Some(b'x'), false) => 2,
            _ => 0,
        };
        let number = rest
            .get(1..=digits)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match (number, code) {
            (Some(number), _) => {
                rest = &rest[1 + digits..];
                match unicode {
                    true => push(&mut bytes, number),
                    false => bytes.push(number as u8),
                }
            }
            (None, Some(code)) if !unicode && b"\\'\"nrt".contains(&code) => {
                rest = &rest[1..];
                bytes.push(match code {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                });
            }
            _ => bytes.push(byte),
        }
    }
    bytes
}
