//! Detection of a file's format from its content.

use super::file::DataFile;
use crate::error::{Error, Result};

/// Magic number, pickled, at the start of files of `torch.save` before 1.6.
const LEGACY_MAGIC: &[u8] = &[
    0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
];

/// Bytes that are inspected.
const HEAD: u64 = 512;

/// Formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Eight-byte length, JSON header, values.
    Safetensors,
    /// `torch.save` since 1.6.
    TorchZip,
    /// `torch.save` before 1.6.
    TorchLegacy,
    /// llama.cpp's format.
    Gguf,
}

/// Detects the format; the error names the kind of file found.
pub(super) fn detect(file: &DataFile) -> Result<Format> {
    let head = file.read(0, file.len().min(HEAD) as usize)?;
    let path = file.path();
    let unknown = |what: &str| Error::UnknownFormat {
        path: path.into(),
        what: what.into(),
    };
    let is_safetensors_name = path.extension().is_some_and(|ext| ext == "safetensors");

    if head.iter().all(|&byte| byte == 0) {
        return Err(Error::ZeroFilled(path.into()));
    }
    if head.starts_with(b"PK\x03\x04") {
        return Ok(Format::TorchZip);
    }
    if head.starts_with(LEGACY_MAGIC) {
        return Ok(Format::TorchLegacy);
    }
    if head.starts_with(b"GGUF") {
        return Ok(Format::Gguf);
    }
    if head.starts_with(b"version https://git-lfs") {
        return Err(Error::LfsPointer(path.into()));
    }
    if head.get(8) == Some(&b'{') || is_safetensors_name {
        return Ok(Format::Safetensors);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(unknown("a tar archive, as PyTorch wrote before 0.1.10"));
    }
    if head.starts_with(&[0x80]) {
        return Err(unknown("a pickle without PyTorch's tensors"));
    }
    if head.trim_ascii_start().starts_with(b"<") {
        return Err(unknown("a web page, as a failed download leaves it"));
    }
    Err(unknown("not a checkpoint"))
}
