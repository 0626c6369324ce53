//! Zip archive of `torch.save`. Only uncompressed entries are supported, so that a small file
//! cannot expand when read.

use std::collections::HashMap;

use super::file::DataFile;
use crate::error::{Error, Result};

/// Maximum length of the central directory.
const MAX_DIRECTORY: u64 = 64 << 20;
/// Maximum length of the end record with its comment.
const MAX_END: u64 = 22 + 0xffff;

/// Location of an entry in the file.
#[derive(Debug, Clone, Copy)]
struct Entry {
    header: u64,
    size: u64,
    /// Set for an entry that is neither compressed nor encrypted.
    stored: bool,
}

/// Directory of an archive.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    file: &'a DataFile,
    entries: HashMap<String, Entry>,
}

impl<'a> Archive<'a> {
    /// Reads the central directory.
    pub(super) fn open(file: &'a DataFile) -> Result<Self> {
        let (start, size) = locate(file)?;
        if size > MAX_DIRECTORY {
            return Err(Error::corrupt(
                file.path(),
                format!("a zip directory of {size} bytes"),
            ));
        }
        let directory = file.read(start, size as usize)?;
        let mut entries = HashMap::new();
        let mut rest = &directory[..];
        while rest.len() >= 46 && u32_at(rest, 0) == 0x0201_4b50 {
            let (name, entry, length) = central_entry(file, rest)?;
            if entries.insert(name.clone(), entry).is_some() {
                let path = file.path().display();
                return Err(Error::DuplicateTensor {
                    tensor: name,
                    first: path.to_string(),
                    second: "its zip directory again".into(),
                });
            }
            rest = &rest[length..];
        }
        Ok(Self { file, entries })
    }

    /// Names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Offset and size of an entry's content.
    pub(super) fn content(&self, name: &str) -> Result<Option<(u64, u64)>> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(None);
        };
        if !entry.stored {
            return Err(Error::unsupported(
                self.file.path(),
                format!("the zip entry `{name}` is compressed or encrypted"),
                "save the file again with torch.save, which never does that",
            ));
        }
        let mut local = [0; 30];
        self.file.read_into(entry.header, &mut local)?;
        if u32_at(&local, 0) != 0x0403_4b50 {
            let reason = format!("the zip entry `{name}` is not where the directory says");
            return Err(Error::corrupt(self.file.path(), reason));
        }
        let skip = 30 + u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        let offset = entry.header.saturating_add(skip);
        self.file.check(offset, entry.size)?;
        Ok(Some((offset, entry.size)))
    }
}

/// Finds offset and size of the central directory.
fn locate(file: &DataFile) -> Result<(u64, u64)> {
    let length = file.len().min(MAX_END);
    let first = file.len() - length;
    let tail = file.read(first, length as usize)?;
    let end = (0..tail.len().saturating_sub(21))
        .rev()
        .find(|&i| u32_at(&tail, i) == 0x0605_4b50)
        .ok_or_else(|| {
            Error::corrupt(
                file.path(),
                "the zip directory at its end is missing: incomplete",
            )
        })?;
    let size = u32_at(&tail, end + 12);
    let start = u32_at(&tail, end + 16);
    if size != u32::MAX && start != u32::MAX && u16_at(&tail, end + 10) != u16::MAX {
        return Ok((start.into(), size.into()));
    }
    let broken = || Error::corrupt(file.path(), "the zip64 end record is missing");
    let mut locator = [0; 20];
    let position = (first + end as u64).checked_sub(20).ok_or_else(broken)?;
    file.read_into(position, &mut locator)?;
    if u32_at(&locator, 0) != 0x0706_4b50 {
        return Err(broken());
    }
    let mut record = [0; 56];
    file.read_into(u64_at(&locator, 8), &mut record)?;
    match u32_at(&record, 0) {
        0x0606_4b50 => Ok((u64_at(&record, 48), u64_at(&record, 40))),
        _ => Err(broken()),
    }
}

/// Parses an entry of the central directory: name, location and length of the entry itself.
fn central_entry(file: &DataFile, bytes: &[u8]) -> Result<(String, Entry, usize)> {
    let path = file.path();
    let name_length = usize::from(u16_at(bytes, 28));
    let extra_length = usize::from(u16_at(bytes, 30));
    let length = 46 + name_length + extra_length + usize::from(u16_at(bytes, 32));
    if bytes.len() < length {
        return Err(Error::corrupt(path, "the zip directory is cut off"));
    }
    let name = String::from_utf8_lossy(&bytes[46..46 + name_length]).into_owned();
    let is_stored = u16_at(bytes, 10) == 0 && u16_at(bytes, 8) & 1 == 0;
    let mut stored = u64::from(u32_at(bytes, 20));
    let mut size = u64::from(u32_at(bytes, 24));
    let mut header = u64::from(u32_at(bytes, 42));
    let mut extra = &bytes[46 + name_length..46 + name_length + extra_length];
    while extra.len() >= 4 {
        let field = usize::from(u16_at(extra, 2));
        if u16_at(extra, 0) == 1 {
            let mut wide = extra[4..].chunks_exact(8).take(field / 8);
            for value in [&mut size, &mut stored, &mut header] {
                if *value == u64::from(u32::MAX)
                    && let Some(chunk) = wide.next()
                {
                    *value = u64_at(chunk, 0);
                }
            }
        }
        extra = extra.get(4 + field..).unwrap_or_default();
    }
    if is_stored && stored != size {
        let reason = format!("the stored zip entry `{name}` has two sizes, {stored} and {size}");
        return Err(Error::corrupt(path, reason));
    }
    Ok((
        name,
        Entry {
            header,
            size,
            stored: is_stored,
        },
        length,
    ))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
