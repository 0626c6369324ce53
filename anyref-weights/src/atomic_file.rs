//! Files that appear under their name complete and flushed to disk, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Writes a file atomically: readers, and a restart after a crash, find either the old content or
/// the new.
///
/// The bytes are written to a temporary file in the same folder, flushed to disk and renamed; then
/// the folder is flushed, so that the new name survives a loss of power. Concurrent writers of a
/// file do not disturb each other: the last one to finish wins.
///
/// # Errors
/// [`Error::NotFound`] when the folder does not exist, [`Error::Io`] when writing fails. The old
/// file is then untouched, and no temporary file remains.
pub fn write_atomic(path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    file.write_all(content.as_ref())
        .map_err(|source| Error::io(path, source))?;
    file.commit()
}

/// Variant of [`write_atomic`] that does not wait for the disk: a loss of power may leave a damaged
/// file, a crash of the program may not. For caches whose entries carry a checksum.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_unsynced(path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    file.write_all(content.as_ref())
        .map_err(|source| Error::io(path, source))?;
    file.replace(|_| Ok(()))
}

/// Streaming form of [`write_atomic`] for large files: a buffered writer whose content replaces the
/// file in [`commit`](Self::commit). If dropped before, it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    partial: PathBuf,
    /// `None` once committed.
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Creates the temporary file: hidden, in the folder of `path`, with a name unique among
    /// writers.
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        loop {
            let partial = partial_name(&path);
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&partial)
            {
                Ok(file) => {
                    return Ok(Self {
                        path,
                        partial,
                        file: Some(BufWriter::new(file)),
                    });
                }
                // Left over from a killed process with the same process id.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(&path, error)),
            }
        }
    }

    /// Flushes the content to the disk and renames the file to its name.
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn commit(self) -> Result<()> {
        let path = self.path.clone();
        self.replace(File::sync_all)?;
        sync_folder(path.parent().unwrap_or(Path::new("")))
    }

    /// Renames the file to its name, after `sync`.
    fn replace(mut self, sync: impl FnOnce(&File) -> io::Result<()>) -> Result<()> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let moved = file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| sync(&file))
            .and_then(|()| fs::rename(&self.partial, &self.path));
        if let Err(error) = moved {
            // The first error is the one worth reporting.
            let _ = fs::remove_file(&self.partial);
            return Err(Error::io(&self.path, error));
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Buffered content is no longer needed.
            drop(file.into_parts());
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Flushes a folder to disk, so that new file names in it survive a loss of power. Does nothing
/// where the system or the file system has no such operation.
///
/// # Errors
/// [`Error::Io`] when flushing fails.
pub fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        // A folder that is writable but not readable cannot be opened.
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        match synced.map_err(|error| (error.kind(), error)) {
            Ok(()) => {}
            Err((
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied,
                _,
            )) => {}
            Err((_, error)) => return Err(Error::io(folder, error)),
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Temporary name beside `path`, unique among the calls of this process.
fn partial_name(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Browsers have no process ids, and `id` panics there.
    let process = match cfg!(target_family = "wasm") {
        true => 0,
        false => std::process::id(),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{process}-{number}.partial"))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for content in ["first", "second, longer", ""] {
            for synced in [true, false] {
                fs::write(&path, "another").unwrap();
                match synced {
                    true => write_atomic(&path, content).unwrap(),
                    false => write_atomic_unsynced(&path, content).unwrap(),
                }
                assert_eq!(fs::read_to_string(&path).unwrap(), content);
                assert_eq!(names(folder.path()), ["a.json"]);
            }
        }
    }

    #[test]
    fn the_old_content_survives_a_write_that_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomic(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        // More than the buffer holds, so that some of it reaches the temporary file.
        file.write_all(&[b'x'; 100_000]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_refused_rename_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "kept").unwrap();
        let error = write_atomic(&path, "new").unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(names(folder.path()), ["taken"]);
        assert_eq!(fs::read_to_string(path.join("inside")).unwrap(), "kept");
        let error = write_atomic(folder.path().join("none/a"), "new").unwrap_err();
        assert!(matches!(error, Error::NotFound(_)), "{error}");
    }

    #[test]
    fn a_partial_file_of_a_killed_process_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        // Names of the next writers, one of which another test may take first.
        let taken: Vec<PathBuf> = (0..3).map(|_| partial_name(&path)).collect();
        let number = |path: &Path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (_, number) = name
                .strip_suffix(".partial")
                .unwrap()
                .rsplit_once('-')
                .unwrap();
            number.parse::<u64>().unwrap()
        };
        for next in 0..1000 {
            let number = number(&taken[2]) + 1 + next;
            let name = format!(".a.{}-{number}.partial", std::process::id());
            fs::write(folder.path().join(name), "half").unwrap();
        }
        write_atomic(&path, "whole").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(names(folder.path()).len(), 1001);
    }

    #[test]
    fn concurrent_writers_leave_the_whole_content_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let whole = |writer: u8| vec![writer; 50_000 + usize::from(writer)];
        write_atomic(&path, whole(0)).unwrap();
        thread::scope(|scope| {
            for writer in 1..=6 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..10 {
                        write_atomic(path, whole(writer)).unwrap();
                        let found = fs::read(path).unwrap();
                        assert_eq!(found, whole(found[0]));
                    }
                });
            }
        });
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join("a"), folder.path().join("b"));
        write_atomic(&ours, "x").unwrap();
        fs::write(&theirs, "x").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(ours), mode(theirs));
    }
}
