//! SHA-256 of downloaded files, and marks of files that are not verified yet.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Extension of the mark beside a cached file.
const UNCHECKED: &str = "unchecked";
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Cached file that this program downloads. The mark beside it stays until the content is verified,
/// so that after an interruption the next run verifies it.
pub(super) struct Unchecked<'a> {
    mark: PathBuf,
    sha256: &'a str,
}

impl<'a> Unchecked<'a> {
    /// Describes a cached file with its announced SHA-256 in lower case.
    pub(super) fn new(blob: &Path, sha256: &'a str) -> Self {
        let mark = blob.with_extension(UNCHECKED);
        Self { mark, sha256 }
    }

    /// Announced SHA-256.
    pub(super) fn sha256(&self) -> &str {
        self.sha256
    }

    /// Marks the file before its download.
    pub(super) fn mark(&self) -> io::Result<()> {
        if let Some(folder) = self.mark.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.mark, "")
    }

    /// Returns whether the file is marked.
    pub(super) fn is_marked(&self) -> bool {
        self.mark.exists()
    }

    /// Removes the mark.
    pub(super) fn clear(&self) -> io::Result<()> {
        fs::remove_file(&self.mark)
    }

    /// Computes the SHA-256 of a file; returns it if it differs from the announced one.
    pub(super) fn mismatch(&self, path: &Path) -> io::Result<Option<String>> {
        let found = sha256(&mut File::open(path)?)?;
        Ok((found != self.sha256).then_some(found))
    }
}

/// SHA-256 of what is left to read, in lower-case hexadecimal digits.
pub(super) fn sha256(content: &mut impl Read) -> io::Result<String> {
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match content.read(&mut chunk)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // FIPS 180-2, appendices B.1 and B.3.
        for (content, sum) in [
            (
                b"abc".to_vec(),
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                vec![b'a'; 1_000_000],
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(sha256(&mut File::open(&path).unwrap()).unwrap(), sum);
            let unchecked = Unchecked::new(&path, sum);
            assert_eq!(unchecked.mismatch(&path).unwrap(), None);
        }
    }
}
