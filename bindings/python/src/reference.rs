//! References of a question.

use std::path::PathBuf;

use anyref_audio::Waveform;
use anyref_core::ReferenceImage;
use pyo3::prelude::*;

use crate::error::{raised, raised_about};
use crate::image::Image;
use crate::mask::Mask;

/// Reference in the form that a model takes.
#[pyclass(frozen, module = "anyref._native")]
pub struct Reference {
    pub reference: anyref_core::Reference,
    /// Name of its file, for errors.
    pub name: Option<String>,
}

impl From<anyref_core::Reference> for Reference {
    fn from(reference: anyref_core::Reference) -> Self {
        Self {
            reference,
            name: None,
        }
    }
}

#[pymethods]
impl Reference {
    /// Phrase.
    #[staticmethod]
    fn text(phrase: String) -> Self {
        anyref_core::Reference::Text(phrase).into()
    }

    /// Box in the picture asked about.
    #[staticmethod]
    fn region(corners: [f32; 4]) -> Self {
        anyref_core::Reference::Box(corners).into()
    }

    /// Region of the picture asked about, by its mask.
    #[staticmethod]
    fn mask(mask: &Mask) -> PyResult<Self> {
        let reference = anyref_core::Reference::of_mask(&mask.0.to_image());
        Ok(reference.map_err(raised)?.into())
    }

    /// Another picture, optionally restricted to a box or a mask in it.
    #[staticmethod]
    fn image(
        py: Python<'_>,
        image: &Image,
        region: Option<[f32; 4]>,
        mask: Option<&Mask>,
    ) -> PyResult<Self> {
        let name = || match &image.name {
            Some(name) => format!("reference picture {name}"),
            None => "the reference picture".to_owned(),
        };
        let pixels = &*image.pixels;
        let read = py.detach(|| match (region, mask) {
            (Some(corners), _) => ReferenceImage::cropped(pixels, corners),
            (None, Some(mask)) => ReferenceImage::masked(pixels, &mask.0.to_image()),
            (None, None) => Ok(ReferenceImage::new(pixels.clone())),
        });
        let read = read.map_err(|error| raised_about(Some(&name()), error))?;
        Ok(anyref_core::Reference::Image(read).into())
    }

    /// Reads a sound file.
    #[staticmethod]
    fn open_sound(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let sound = py.detach(|| Waveform::open(&path)).map_err(raised)?;
        Ok(Self {
            reference: anyref_core::Reference::Audio(sound),
            name: Some(path.display().to_string()),
        })
    }

    /// Decodes the bytes of a sound file.
    #[staticmethod]
    fn decode_sound(py: Python<'_>, data: Vec<u8>) -> PyResult<Self> {
        let sound = py.detach(|| Waveform::decode(&data, "bytes"));
        Ok(anyref_core::Reference::Audio(sound.map_err(raised)?).into())
    }

    /// Sound with one channel, from the bytes of its 32-bit floats.
    #[staticmethod]
    fn sound(samples: &[u8], sample_rate: u32) -> PyResult<Self> {
        if sample_rate == 0 {
            return Err(raised("the sound has 0 samples a second: give 1 or more"));
        }
        let (samples, rest) = samples.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(raised("the sound ends within a sample"));
        }
        let samples = samples.iter().map(|&bytes| f32::from_ne_bytes(bytes));
        let sound = Waveform::new(samples.collect(), sample_rate);
        Ok(anyref_core::Reference::Audio(sound).into())
    }
}
