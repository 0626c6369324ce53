//! Pictures as pixels.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use ::image::{ImageFormat, RgbImage};
use anyref_vision::preprocess::{
    MAX_PIXELS, MAX_SIDE, decode_image, decode_mask, open_image, open_mask,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raised;
use crate::mask::{Mask, bright};

/// Picture in 8-bit RGB.
#[pyclass(frozen, module = "anyref._native")]
pub struct Image {
    pub pixels: Arc<RgbImage>,
    /// Name of its file, for errors.
    pub name: Option<String>,
}

#[pymethods]
impl Image {
    /// Reads a picture file.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let image = py.detach(|| open_image(&path)).map_err(raised)?;
        Ok(Self {
            pixels: Arc::new(image),
            name: Some(path.display().to_string()),
        })
    }

    /// Decodes the bytes of a picture file.
    #[staticmethod]
    fn decode(py: Python<'_>, data: Vec<u8>) -> PyResult<Self> {
        let image = py.detach(|| decode_image(&data, "bytes")).map_err(raised)?;
        Ok(Self {
            pixels: Arc::new(image),
            name: None,
        })
    }

    /// Copies `height * width * 3` bytes, row by row.
    #[staticmethod]
    fn from_rgb(data: &[u8], width: u32, height: u32) -> PyResult<Self> {
        let count = u64::from(width) * u64::from(height);
        if count == 0 {
            return Err(raised(anyref_core::Error::EmptyPicture));
        }
        if count > MAX_PIXELS || width.max(height) > MAX_SIDE {
            return Err(raised(format!(
                "the picture has {width}x{height} pixels: give {MAX_PIXELS} pixels and {MAX_SIDE} \
                 a side at most"
            )));
        }
        let image = RgbImage::from_raw(width, height, data.to_vec());
        let image = image.ok_or_else(|| raised("the picture has not three bytes a pixel"))?;
        Ok(Self {
            pixels: Arc::new(image),
            name: None,
        })
    }

    /// Reads a mask from a picture file, on where it is bright.
    #[staticmethod]
    fn open_mask(py: Python<'_>, path: PathBuf) -> PyResult<Mask> {
        py.detach(|| bright(&open_mask(&path).map_err(raised)?))
    }

    /// Decodes a mask from the bytes of a picture file.
    #[staticmethod]
    fn decode_mask(py: Python<'_>, data: Vec<u8>) -> PyResult<Mask> {
        py.detach(|| bright(&decode_mask(&data, "bytes").map_err(raised)?))
    }

    /// Width and height in pixels.
    #[getter]
    fn size(&self) -> (u32, u32) {
        self.pixels.dimensions()
    }

    /// RGB bytes of the pixels, row by row.
    fn rgb<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.pixels.as_raw())
    }

    /// Encodes the picture as a PNG file.
    fn png<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut file = Cursor::new(Vec::new());
        py.detach(|| self.pixels.write_to(&mut file, ImageFormat::Png))
            .map_err(raised)?;
        Ok(PyBytes::new(py, file.get_ref()))
    }
}
