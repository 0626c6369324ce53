//! Positioned reads from one file, or from bytes in memory, and what of a file is used where it
//! lies.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
#[cfg(not(target_family = "wasm"))]
use memmap2::Mmap;

use crate::error::{Error, Result};

/// A file opened for reading by position. Headers are always read: that, unlike mapping, turns a
/// file that shrinks or a disk that fails into an error instead of a crash.
#[derive(Debug)]
pub(super) struct DataFile {
    path: PathBuf,
    source: Source,
    len: u64,
}

#[derive(Debug)]
enum Source {
    Disk {
        file: Mutex<File>,
        /// All of the file in memory, at the first use; nothing where that cannot be had.
        map: OnceLock<Option<Bytes>>,
    },
    Memory(Cow<'static, [u8]>),
}

impl DataFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let meta = file.metadata().map_err(|e| Error::io(path, e))?;
        if !meta.is_file() {
            return Err(Error::UnknownFormat {
                path: path.to_path_buf(),
                what: "not a regular file".into(),
            });
        }
        if meta.len() == 0 {
            return Err(Error::Empty(path.to_path_buf()));
        }
        Ok(Self {
            path: path.to_path_buf(),
            source: Source::Disk {
                file: Mutex::new(file),
                map: OnceLock::new(),
            },
            len: meta.len(),
        })
    }

    /// Bytes that go by the name of `path`.
    pub(super) fn from_bytes(path: PathBuf, bytes: Cow<'static, [u8]>) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::Empty(path));
        }
        let len = bytes.len() as u64;
        Ok(Self {
            path,
            source: Source::Memory(bytes),
            len,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reads `len` bytes at `offset`; nothing is allocated for bytes that are not there.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.check(offset, len as u64)?;
        let mut bytes = vec![0; len];
        self.read_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` from `offset`.
    pub(super) fn read_into(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len() as u64)?;
        match &self.source {
            Source::Memory(all) => {
                let start = offset as usize;
                bytes.copy_from_slice(&all[start..start + bytes.len()]);
                Ok(())
            }
            Source::Disk { file, .. } => {
                let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                file.seek(SeekFrom::Start(offset))
                    .and_then(|_| file.read_exact(bytes))
                    .map_err(|e| Error::io(&self.path, e))
            }
        }
    }

    /// Whether it is a file and not the content of one.
    pub(super) fn is_on_disk(&self) -> bool {
        matches!(self.source, Source::Disk { .. })
    }

    /// `len` bytes at `offset` where they lie in the file, which is mapped into memory; nothing
    /// where that cannot be had. They are loaded when they are first touched, and the system may
    /// drop them again.
    pub(super) fn mapped(&self, offset: u64, len: usize) -> Result<Option<Bytes>> {
        self.check(offset, len as u64)?;
        let Source::Disk { file, map } = &self.source else {
            return Ok(None);
        };
        let whole = map.get_or_init(|| {
            let file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            map_file(&file)
        });
        let range = offset as usize..offset as usize + len;
        // The file may have shrunk between its opening and now.
        Ok(whole
            .as_ref()
            .filter(|whole| range.end <= whole.len())
            .map(|whole| whole.slice(range)))
    }

    /// Whether the file has `len` bytes at `offset`.
    pub(super) fn check(&self, offset: u64, len: u64) -> Result<()> {
        let needed = offset.saturating_add(len);
        match needed <= self.len {
            true => Ok(()),
            false => Err(Error::Truncated {
                path: self.path.clone(),
                needed,
                found: self.len,
            }),
        }
    }
}

/// The whole file, mapped into memory; nothing where the system refuses or has no such operation.
#[cfg(not(target_family = "wasm"))]
fn map_file(file: &File) -> Option<Bytes> {
    // SAFETY: as with everything that maps files, nobody may cut the file short or write into it
    // while it is in use. This crate replaces a file by another when it writes, and leaves the
    // mapped one as it is.
    let map = unsafe { Mmap::map(file) }.ok()?;
    Some(Bytes::from_owner(map))
}

#[cfg(target_family = "wasm")]
fn map_file(_file: &File) -> Option<Bytes> {
    None
}
