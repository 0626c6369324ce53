//! Masks.

use ::image::GrayImage;
use anyref_decoder::rle::Rle;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use crate::error::raised;

/// Smallest grey value at which a mask's file is on.
const BRIGHT: u8 = 128;

/// Mask in the size of its picture, as COCO's run lengths.
#[pyclass(frozen, module = "anyref._native")]
pub struct Mask(pub anyref_core::Mask);

impl Mask {
    /// Mask that was not predicted.
    pub fn given(rle: Rle) -> Self {
        Self(anyref_core::Mask {
            rle,
            score: 1.0,
            words: None,
            low_res: None,
        })
    }
}

/// Mask of the bright pixels of a grey picture.
pub fn bright(grey: &GrayImage) -> PyResult<Mask> {
    let pixels: Vec<bool> = grey.pixels().map(|pixel| pixel[0] >= BRIGHT).collect();
    let size = [grey.height() as usize, grey.width() as usize];
    let rle = Rle::from_mask(&pixels, size).map_err(raised)?;
    Ok(Mask::given(rle))
}

#[pymethods]
impl Mask {
    /// Builds a mask from one byte a pixel, row by row, on where it is not 0.
    #[staticmethod]
    fn from_pixels(py: Python<'_>, data: Vec<u8>, height: usize, width: usize) -> PyResult<Self> {
        py.detach(|| {
            let pixels: Vec<bool> = data.iter().map(|&byte| byte != 0).collect();
            let rle = Rle::from_mask(&pixels, [height, width]).map_err(raised)?;
            Ok(Self::given(rle))
        })
    }

    /// Builds a mask from COCO's compressed string.
    #[staticmethod]
    fn from_compressed(counts: &str, height: usize, width: usize) -> PyResult<Self> {
        let rle = Rle::from_compressed(counts, [height, width]).map_err(raised)?;
        Ok(Self::given(rle))
    }

    /// Builds a mask from runs of off and on pixels, column by column.
    #[staticmethod]
    fn from_counts(counts: Vec<u32>, height: usize, width: usize) -> PyResult<Self> {
        let rle = Rle::from_counts(&counts, [height, width]).map_err(raised)?;
        Ok(Self::given(rle))
    }

    /// Bytes of the pixels, row by row, 0 or 1.
    fn pixels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        let [height, width] = self.0.rle.size();
        let pixels = py.detach(|| self.0.rle.to_mask());
        PyByteArray::new_with(py, height * width, |bytes| {
            for (byte, on) in bytes.iter_mut().zip(pixels) {
                *byte = u8::from(on);
            }
            Ok(())
        })
    }

    /// COCO's compressed string of the mask.
    fn compressed(&self) -> String {
        self.0.rle.to_compressed()
    }

    /// Height and width in pixels.
    #[getter]
    fn size(&self) -> (usize, usize) {
        let [height, width] = self.0.rle.size();
        (height, width)
    }

    /// Bounding box: left, top, right and bottom.
    #[getter]
    fn bounds(&self) -> (u32, u32, u32, u32) {
        self.0.bounding_box().into()
    }

    #[getter]
    fn area(&self) -> u64 {
        self.0.area()
    }

    #[getter]
    fn score(&self) -> f32 {
        self.0.score
    }

    /// Start and end, in the answer's text, of the words that it stands for, where the model says.
    #[getter]
    fn words(&self) -> Option<(usize, usize)> {
        self.0.words.map(<(usize, usize)>::from)
    }

    /// Closed lines along the edges of its pixels, `x, y, x, y …`.
    fn rings(&self, py: Python<'_>) -> Vec<Vec<u32>> {
        py.detach(|| self.0.rle.rings())
    }
}
