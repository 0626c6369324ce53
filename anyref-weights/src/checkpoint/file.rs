//! Positioned reads from one file or from bytes in memory, and mapped parts of a file.

use std::borrow::Cow;
use std::fs::File;
#[cfg(not(unix))]
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
#[cfg(not(unix))]
use std::sync::Mutex;
use std::sync::OnceLock;

use bytes::Bytes;
#[cfg(not(target_family = "wasm"))]
use memmap2::Mmap;

use crate::error::{Error, Result};

/// File opened for positioned reads. Headers are always read rather than mapped, so that a file
/// that shrinks or a failing disk gives an error instead of a crash.
#[derive(Debug)]
pub(super) struct DataFile {
    path: PathBuf,
    source: Source,
    len: u64,
}

#[derive(Debug)]
enum Source {
    Disk {
        file: Positioned,
        /// Mapping of the whole file, made on first use; `None` where mapping is not possible.
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
                file: Positioned::new(file),
                map: OnceLock::new(),
            },
            len: meta.len(),
        })
    }

    /// Wraps bytes under the name `path`.
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

    /// Reads `len` bytes at `offset`; allocates nothing beyond the end of the file.
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
                let read = file.read(offset, bytes);
                read.map_err(|e| Error::io(&self.path, e))
            }
        }
    }

    /// Returns whether the data is a file on disk, as opposed to bytes in memory.
    pub(super) fn is_on_disk(&self) -> bool {
        matches!(self.source, Source::Disk { .. })
    }

    /// Maps `len` bytes at `offset`, or returns `None` where mapping is not possible. Pages are
    /// loaded on first access, and the system may drop them again.
    pub(super) fn mapped(&self, offset: u64, len: usize) -> Result<Option<Bytes>> {
        self.check(offset, len as u64)?;
        let Source::Disk { file, map } = &self.source else {
            return Ok(None);
        };
        let whole = map.get_or_init(|| map_file(&file.file));
        let range = offset as usize..offset as usize + len;
        // The file may have shrunk since it was opened.
        Ok(whole
            .as_ref()
            .filter(|whole| range.end <= whole.len())
            .map(|whole| whole.slice(range)))
    }

    /// Checks that the file has `len` bytes at `offset`.
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

/// File that several threads read from, at once where the system can.
#[derive(Debug)]
struct Positioned {
    file: File,
    /// Held from the move to a position until the bytes are read.
    #[cfg(not(unix))]
    turn: Mutex<()>,
}

impl Positioned {
    fn new(file: File) -> Self {
        Self {
            file,
            #[cfg(not(unix))]
            turn: Mutex::new(()),
        }
    }

    #[cfg(unix)]
    fn read(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    #[cfg(not(unix))]
    fn read(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        let turn = self.turn.lock();
        let _turn = turn.unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}

/// Maps the whole file; `None` where the system refuses or does not support it.
#[cfg(not(target_family = "wasm"))]
fn map_file(file: &File) -> Option<Bytes> {
    // SAFETY: as with all mapped files, nobody may truncate or modify the file while it is in use.
    // This crate writes by replacing files, which leaves a mapped one intact.
    let map = unsafe { Mmap::map(file) }.ok()?;
    Some(Bytes::from_owner(map))
}

#[cfg(target_family = "wasm")]
fn map_file(_file: &File) -> Option<Bytes> {
    None
}
