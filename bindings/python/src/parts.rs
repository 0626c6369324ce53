//! Parts of models alone: encoders and refocusing on arrays.

use std::path::PathBuf;

use anyref_audio::{AudioPreprocessor, AudioPreprocessorConfig, ImageBindAudio, Waveform};
use anyref_core::{Cancel, ModelOptions, ModelSource, OnDevice, Tower, resolve_model};
use anyref_decoder::refocus::{ObjectToken, RefocusInput, refocus};
use anyref_vision::clip::ClipVisionModel;
use anyref_vision::preprocess::{ClipPreprocessor, PixelValues};
use anyref_weights::WeightType;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use crate::error::raised;
use crate::image::Image;
use crate::load::{NANO, device};
use crate::reference::Reference;
use crate::running;

/// Array of 32-bit floats: its bytes and its shape.
type Array = (Py<PyByteArray>, Vec<usize>);

fn array(py: Python<'_>, data: TensorData) -> PyResult<Array> {
    let data = data.convert_dtype(DType::F32);
    let bytes = PyByteArray::new(py, data.as_bytes());
    Ok((bytes.unbind(), data.shape.to_vec()))
}

/// Encoders of a model on any backend.
trait Encode: Send + Sync {
    /// CLIP's features of a picture, `[patches, hidden]`, from `layer` or, by default, the layer
    /// that the model's config selects.
    fn picture(&self, image: &::image::RgbImage, layer: Option<i32>) -> PyResult<TensorData>;

    /// ImageBind's embedding of each clip of a sound, `[clips, width]`.
    fn sound(&self, sound: &Waveform) -> PyResult<TensorData>;
}

struct Loaded<B: Backend> {
    clip: ClipVisionModel<B>,
    preprocessor: ClipPreprocessor,
    select_layer: i32,
    audio: Option<(ImageBindAudio<B>, AudioPreprocessorConfig)>,
    device: B::Device,
}

impl<B: Backend> Encode for Loaded<B> {
    fn picture(&self, image: &::image::RgbImage, layer: Option<i32>) -> PyResult<TensorData> {
        let layer = layer.unwrap_or(self.select_layer);
        self.clip.config().layers_until(layer).map_err(raised)?;
        let pixels = self.preprocessor.process(image);
        let pixels = PixelValues::batch(&[pixels], &self.device);
        let features: Tensor<B, 2> = self.clip.features(pixels, layer).squeeze_dim(0);
        features.try_into_data().map_err(raised)
    }

    fn sound(&self, sound: &Waveform) -> PyResult<TensorData> {
        let Some((encoder, config)) = &self.audio else {
            return Err(raised(anyref_core::Error::NoAudioEncoder));
        };
        let features = AudioPreprocessor::new(config.clone()).process(sound);
        let clips = features.map_err(raised)?.to_tensor::<B>(&self.device);
        let embeddings: Tensor<B, 2> = encoder.forward(clips.unsqueeze()).squeeze_dim(0);
        embeddings.try_into_data().map_err(raised)
    }
}

/// Encoders of a model on a device.
#[pyclass(frozen, module = "anyref._native")]
pub struct Encoders(Box<dyn Encode>);

struct Load {
    model: ModelSource,
    dtype: WeightType,
}

impl OnDevice for Load {
    type Output = anyref_core::Result<Box<dyn Encode>>;

    fn run<B: Backend>(self, device: &B::Device) -> Self::Output {
        let weights = ModelOptions::new(self.dtype);
        let loaded = self.model.load::<B>(&Default::default(), weights, device)?;
        let hearing = loaded.sound_preprocessor().cloned();
        let image_size = loaded.config.vision_tower.image_size();
        let select_layer = loaded.model.select_layer();
        let Tower::Clip(clip) = loaded.model.vision_tower else {
            return Err(anyref_core::Error::Config {
                field: "vision_tower",
                problem: "is InternViT: encoders are given of models over CLIP".into(),
            });
        };
        Ok(Box::new(Loaded {
            preprocessor: ClipPreprocessor::new(image_size).with_resize(loaded.config.clip_resize),
            select_layer,
            audio: loaded.model.audio_encoder.zip(hearing),
            clip,
            device: device.clone(),
        }))
    }
}

#[pymethods]
impl Encoders {
    /// Loads the encoders of the model at `path`, or of the one in the package for `None`.
    #[staticmethod]
    fn load(py: Python<'_>, path: Option<PathBuf>, device: &str, dtype: &str) -> PyResult<Self> {
        let (backend, number) = self::device(device)?;
        let dtype = dtype.parse().map_err(raised)?;
        let load = || {
            let path = path.as_deref().map(resolve_model).transpose()?;
            let model = path.map_or(ModelSource::Files(NANO), |path| {
                ModelSource::Path(path.into_owned())
            });
            backend.dispatch(number, Load { model, dtype })?
        };
        let encoders = running::run(py, &Cancel::new(), load)?;
        Ok(Self(encoders.map_err(raised)?))
    }

    /// CLIP's features of a picture.
    fn picture(&self, py: Python<'_>, image: &Image, layer: Option<i32>) -> PyResult<Array> {
        let pixels = &*image.pixels;
        let features = running::run(py, &Cancel::new(), || self.0.picture(pixels, layer))?;
        array(py, features?)
    }

    /// ImageBind's embedding of each clip of a sound.
    fn sound(&self, py: Python<'_>, sound: &Reference) -> PyResult<Array> {
        let anyref_core::Reference::Audio(sound) = &sound.reference else {
            return Err(raised("the reference is no sound"));
        };
        let embeddings = running::run(py, &Cancel::new(), || self.0.sound(sound))?;
        array(py, embeddings?)
    }
}

/// Row, position, start, end and first position of an object.
type GivenObject = (usize, usize, usize, usize, usize);

struct Refocus {
    query: TensorData,
    key: TensorData,
    hidden: TensorData,
    objects: Vec<ObjectToken>,
    hidden_offset: usize,
    lambda: f64,
}

impl OnDevice for Refocus {
    type Output = PyResult<TensorData>;

    fn run<B: Backend>(self, device: &B::Device) -> Self::Output {
        let focused = refocus(RefocusInput::<B> {
            query: Tensor::from_data(self.query, device),
            key: Tensor::from_data(self.key, device),
            hidden: Tensor::from_data(self.hidden, device),
            hidden_offset: self.hidden_offset,
            objects: self.objects,
            lambda: self.lambda,
        });
        focused.try_into_data().map_err(raised)
    }
}

/// Refocuses the states of objects. The caller checks the shapes.
#[pyfunction]
#[pyo3(name = "refocus")]
#[expect(clippy::too_many_arguments, reason = "Python's arguments")]
pub fn refocus_arrays(
    py: Python<'_>,
    query: (Vec<u8>, [usize; 3]),
    key: (Vec<u8>, [usize; 4]),
    hidden: (Vec<u8>, [usize; 3]),
    objects: Vec<GivenObject>,
    hidden_offset: usize,
    weight: f64,
    device: &str,
) -> PyResult<Array> {
    let (backend, number) = self::device(device)?;
    let objects = objects
        .into_iter()
        .map(|(row, position, start, end, context_start)| ObjectToken {
            row,
            position,
            start,
            end,
            context_start,
        });
    let work = Refocus {
        query: floats(query)?,
        key: floats(key)?,
        hidden: floats(hidden)?,
        objects: objects.collect(),
        hidden_offset,
        lambda: weight,
    };
    let focused = running::run(py, &Cancel::new(), || backend.dispatch(number, work))?;
    array(py, focused.map_err(raised)??)
}

/// Array of some bytes.
fn floats<const D: usize>((bytes, shape): (Vec<u8>, [usize; D])) -> PyResult<TensorData> {
    if bytes.len() != 4 * shape.iter().product::<usize>() {
        return Err(raised(format!("the array has not the shape {shape:?}")));
    }
    let values = bytes.as_chunks::<4>().0.iter();
    let values: Vec<f32> = values.map(|&bytes| f32::from_ne_bytes(bytes)).collect();
    Ok(TensorData::new(values, shape))
}
