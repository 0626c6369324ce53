//! Answers of a model.

use anyref_core::Timing;
use pyo3::prelude::*;

use crate::mask::Mask;

/// Sentence with the masks of the objects that it names.
#[pyclass(frozen, module = "anyref._native")]
pub struct Answer(pub anyref_core::Answer);

#[pymethods]
impl Answer {
    /// Sentence of the answer.
    #[getter]
    fn text(&self) -> &str {
        &self.0.text
    }

    /// Sentence as generated, with `<obj>` where it points at an object.
    #[getter]
    fn raw(&self) -> &str {
        &self.0.raw
    }

    #[getter]
    fn masks(&self) -> Vec<Mask> {
        self.0.masks.iter().cloned().map(Mask).collect()
    }

    /// Number of masks left out because of their low estimated IoU.
    #[getter]
    fn left_out(&self) -> usize {
        self.0.doubtful
    }

    /// Substitutes of references that the model was not trained with, one a line.
    #[getter]
    fn bridges(&self) -> Vec<String> {
        self.0.bridges.iter().map(ToString::to_string).collect()
    }

    /// Seconds for the picture, the sounds, the prompt, the generation and the masks.
    #[getter]
    fn timing(&self) -> (f64, f64, f64, f64, f64) {
        let Timing {
            image,
            audio,
            prompt,
            generate,
            decode,
        } = self.0.timing;
        let [image, audio, prompt, generate, decode] =
            [image, audio, prompt, generate, decode].map(|part| part.as_secs_f64());
        (image, audio, prompt, generate, decode)
    }
}
