//! Reading annotation files.

use std::path::{Path, PathBuf};

use image::ImageDecoder;
use image::metadata::Orientation;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};

/// Reads and parses a JSON file.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = bytes(path)?;
    serde_json::from_slice(&bytes).map_err(|e| Error::format(path, e))
}

/// Reads the bytes of a file.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(path, e))
}

/// Reads a text file.
pub(super) fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io(path, e))
}

/// Lists the files of a folder whose names end in `.extension`, sorted by name.
pub(super) fn listed(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case(extension))
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Width and height of a picture after its EXIF orientation, read from the header.
pub(super) fn picture_size(path: &Path) -> Result<[u32; 2]> {
    let reader = image::ImageReader::open(path).map_err(|e| Error::io(path, e))?;
    let reader = reader
        .with_guessed_format()
        .map_err(|e| Error::io(path, e))?;
    let mut decoder = reader.into_decoder().map_err(|e| Error::picture(path, e))?;
    let (width, height) = decoder.dimensions();
    let turned = matches!(
        decoder.orientation(),
        Ok(Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH)
    );
    Ok(if turned {
        [height, width]
    } else {
        [width, height]
    })
}
