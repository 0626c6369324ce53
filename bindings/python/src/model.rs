//! Models and their encoded pictures.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use anyref_core::{
    AutomaticMask, AutomaticMaskConfig, Cancel, EncodedPicture, Engine, Goal, MaskCandidate,
    MaskPrompt, Multimask, Prompt, Request, Timing,
};
use burn::tensor::read_sync;
use pyo3::prelude::*;

use crate::answer::Answer;
use crate::error::{raised, raised_about};
use crate::image::Image;
use crate::mask::Mask;
use crate::reference::Reference;
use crate::running;

/// Model on a device.
#[pyclass(frozen, module = "anyref._native")]
pub struct Model {
    engine: Arc<dyn Engine>,
    min_score: Option<f32>,
}

impl Model {
    /// Wraps a loaded model; masks with a lower score than `min_score` are left out.
    pub fn new(engine: Arc<dyn Engine>, min_score: Option<f32>) -> Self {
        Self { engine, min_score }
    }
}

/// Picture encoded by a model.
#[pyclass(frozen, module = "anyref._native")]
pub struct Picture {
    pub engine: Arc<dyn Engine>,
    pub encoded: EncodedPicture,
    /// Name of its file, for errors.
    pub name: Option<String>,
}

#[pymethods]
impl Picture {
    /// Width and height in pixels.
    #[getter]
    fn size(&self) -> (u32, u32) {
        self.encoded.size()
    }

    /// Memory on the device in bytes.
    #[getter]
    fn bytes(&self) -> u64 {
        self.encoded.bytes()
    }
}

impl Picture {
    /// Builds a prompt and checks each reference against the picture and the model.
    ///
    /// # Errors
    /// When a box does not fit the picture, or a sound is silent for the model.
    pub fn prompt(
        &self,
        references: &[Py<Reference>],
        question: Option<String>,
    ) -> PyResult<Prompt> {
        let hearing = self.engine.info().audio.as_ref();
        for reference in references {
            let Reference { reference, name } = reference.get();
            reference
                .fits(self.encoded.size())
                .map_err(|error| raised_about(self.name.as_deref(), error))?;
            if let (Some(hearing), anyref_core::Reference::Audio(sound)) = (hearing, reference) {
                hearing
                    .check_sound(sound)
                    .map_err(|error| raised_about(name.as_deref(), error))?;
            }
        }
        Ok(Prompt {
            question,
            references: references
                .iter()
                .map(|reference| reference.get().reference.clone())
                .collect(),
        })
    }
}

/// Name of a part, number of its parameters and bytes.
type Part = (&'static str, u64, u64);
/// Picture, references and question.
type Asked = (Py<Picture>, Vec<Py<Reference>>, Option<String>);
/// Mask, its estimated IoU, its stability score, its point and its crop of the picture.
type Found = (Mask, f32, f32, (f64, f64), (u32, u32, u32, u32));

#[pymethods]
impl Model {
    #[getter]
    fn name(&self) -> &str {
        &self.engine.info().model
    }

    #[getter]
    fn backend(&self) -> &'static str {
        self.engine.info().backend.name()
    }

    #[getter]
    fn device(&self) -> &str {
        &self.engine.info().device
    }

    #[getter]
    fn hears(&self) -> bool {
        self.engine.info().hears()
    }

    #[getter]
    fn speaks(&self) -> bool {
        self.engine.info().speaks()
    }

    #[getter]
    fn parts(&self) -> Vec<Part> {
        let parts = self.engine.info().parts.iter();
        parts
            .map(|part| (part.name, part.parameters, part.bytes))
            .collect()
    }

    /// Loading time in seconds.
    #[getter]
    fn load_time(&self) -> f64 {
        self.engine.info().load.as_secs_f64()
    }

    /// Encodes a picture.
    fn encode(&self, py: Python<'_>, image: &Image) -> PyResult<Picture> {
        let pixels = &*image.pixels;
        let encoded = running::run(py, &Cancel::new(), || self.engine.encode(pixels))?;
        Ok(Picture {
            engine: self.engine.clone(),
            encoded: encoded.map_err(|error| raised_about(image.name.as_deref(), error))?,
            name: image.name.clone(),
        })
    }

    /// Answers questions, in batches as large as their memory allows. Questions that cannot be
    /// answered have an exception instead of an answer.
    fn answer(
        &self,
        py: Python<'_>,
        questions: Vec<Asked>,
        describe: bool,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let goal = match describe {
            true => Goal::Describe,
            false => Goal::Segment,
        };
        let mut prompts = Vec::with_capacity(questions.len());
        for (picture, references, question) in questions {
            let prompt = picture.get().prompt(&references, question);
            prompts.push(prompt.map(|prompt| (picture, prompt)));
        }
        let requests: Vec<Request<'_>> = prompts
            .iter()
            .flatten()
            .map(|(picture, prompt)| Request {
                picture: &picture.get().encoded,
                prompt,
                goal,
            })
            .collect();
        let cancel = Cancel::new();
        let answers = running::run(py, &cancel, || {
            let mut go_on = |_: usize, _: &str| ControlFlow::Continue(());
            read_sync(self.engine.answer_async(&requests, &mut go_on, &cancel))
        })?;
        let mut answers = answers.into_iter();
        let outcome = |prompt: PyResult<_>| -> PyResult<Py<PyAny>> {
            let answered = prompt.and_then(|_| match answers.next() {
                Some(answer) => answer.map_err(raised),
                None => Err(raised("the question has no answer")),
            });
            match answered {
                Ok(answer) => Ok(Py::new(py, Answer(answer))?.into_any()),
                Err(error) => Ok(error.into_value(py).into_any()),
            }
        };
        prompts
            .into_iter()
            .map(|prompt| prompt.map(|_| ()))
            .map(outcome)
            .collect()
    }

    /// Predicts masks by the model's own SAM: for points, a mask to refine and a box together, or
    /// for each box if there are only boxes.
    fn masks(
        &self,
        py: Python<'_>,
        picture: &Picture,
        points: Vec<(f32, f32, bool)>,
        boxes: Vec<[f32; 4]>,
        refine: Option<&Mask>,
        multimask: bool,
    ) -> PyResult<Answer> {
        let mut prompt = MaskPrompt::default();
        for (x, y, on) in points {
            prompt = prompt.with_point(x, y, on);
        }
        if let Some(mask) = refine {
            prompt = prompt.with_mask(mask.0.rle.clone());
        }
        let joined = !prompt.points.is_empty() || prompt.mask.is_some();
        let prompts: Vec<MaskPrompt> = match &boxes[..] {
            [_, _, ..] if joined => {
                return Err(raised(format!(
                    "{} boxes beside points or a mask: give one",
                    boxes.len()
                )));
            }
            [] => vec![prompt],
            boxes => boxes
                .iter()
                .map(|&region| prompt.clone().with_region(region))
                .collect(),
        };
        for prompt in &prompts {
            prompt
                .fits(picture.encoded.size())
                .map_err(|error| raised_about(picture.name.as_deref(), error))?;
        }
        let number = match multimask {
            true => Multimask::Always,
            false => Multimask::WhereAmbiguous,
        };
        let start = Instant::now();
        let predictions = running::run(py, &Cancel::new(), || {
            self.engine.prompt_masks(&picture.encoded, &prompts, number)
        })?;
        let mut answer = anyref_core::Answer::default();
        for prediction in predictions.map_err(raised)? {
            let mut candidates: Vec<&MaskCandidate> = match multimask {
                true => prediction.candidates.iter().collect(),
                false => vec![prediction.best()],
            };
            candidates.sort_by(|one, other| other.estimate.total_cmp(&one.estimate));
            let masks = candidates.into_iter().map(|one| one.mask.clone());
            answer.masks.extend(masks);
        }
        let found = answer.masks.len();
        let limit = self.min_score.unwrap_or(0.0);
        answer.masks.retain(|mask| mask.score >= limit);
        answer.doubtful = found - answer.masks.len();
        answer.timing = Timing {
            image: picture.encoded.encoding_time(),
            decode: start.elapsed(),
            ..Timing::default()
        };
        Ok(Answer(answer))
    }

    /// Finds every mask of a picture.
    #[expect(clippy::too_many_arguments, reason = "Python's arguments")]
    fn automatic(
        &self,
        py: Python<'_>,
        image: &Image,
        points_per_side: usize,
        pred_iou_thresh: f64,
        stability_score_thresh: f64,
        box_nms_thresh: f64,
        crop_n_layers: usize,
        min_mask_region_area: usize,
    ) -> PyResult<Vec<Found>> {
        let config = AutomaticMaskConfig::new()
            .with_points_per_side(points_per_side)
            .with_pred_iou_thresh(pred_iou_thresh)
            .with_stability_score_thresh(stability_score_thresh)
            .with_box_nms_thresh(box_nms_thresh)
            .with_crop_n_layers(crop_n_layers)
            .with_min_mask_region_area(min_mask_region_area);
        config.validate().map_err(raised)?;
        let cancel = Cancel::new();
        let pixels = &*image.pixels;
        let found = running::run(py, &cancel, || {
            let mut on_points = |_: usize, _: usize| ();
            let masks = self
                .engine
                .automatic_masks_async(pixels, &config, &mut on_points, &cancel);
            read_sync(masks)
        })?;
        let record = |one: AutomaticMask| {
            let [x, y] = one.point;
            (
                Mask(one.mask),
                one.predicted_iou,
                one.stability_score,
                (x, y),
                one.crop_box.into(),
            )
        };
        let found = found.map_err(|error| raised_about(image.name.as_deref(), error))?;
        Ok(found.into_iter().map(record).collect())
    }
}
