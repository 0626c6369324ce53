//! Matrices of the encoders in blocks or of eight bits: which they are, loading them so, and
//! writing them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::convert::Infallible;

use anyref_audio::imagebind::{ImageBindAudio, JointWeight};
use anyref_ops::blocks::Blocks;
use anyref_ops::nn::LinearWeight;
use anyref_vision::clip::ClipVisionModel;
use anyref_vision::internvit::InternVisionModel;
use anyref_vision::sam::SamImageEncoder;
use anyref_weights::{Checkpoint, OutputTensor, TensorEntry};
use burn::tensor::backend::Backend;

use crate::Result;
use crate::encoder_format::EncoderFormat;
use crate::model::AnyRefModel;
use crate::sam::MaskImageEncoder;
use crate::tower::Tower;

/// Forms that the matrices of the encoders' layers are rounded to; `None` keeps what the files
/// have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncoderBlocks {
    /// Form of the matrices of CLIP or InternViT, and of SAM.
    pub vision: Option<EncoderFormat>,
    /// Form of the matrices of ImageBind.
    pub audio: Option<EncoderFormat>,
}

impl EncoderBlocks {
    /// Returns whether nothing is rounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Form asked for a matrix of a whole model.
    pub(crate) fn of(&self, name: &str) -> Option<EncoderFormat> {
        match name.starts_with(AUDIO) {
            true => self.audio,
            false => self.vision,
        }
    }
}

const TOWER: &str = "vision_tower.encoder.layers.";
const IMAGE_ENCODER: &str = "image_encoder.";
const AUDIO: &str = "audio_encoder.trunk.blocks.";

/// Matrices of layers in their order, each with the name of its parameter.
type Matrices<W> = Vec<(String, W)>;

/// Defines the matrices of the layers of an encoder, shared and exclusive.
macro_rules! matrices {
    (
        $shared:ident, $exclusive:ident, $encoder:ident, $($list:ident).+:
        $($($field:ident).+),+
    ) => {
        fn $shared<'a, B: Backend>(
            encoder: &'a $encoder<B>,
            prefix: &str,
        ) -> Matrices<&'a LinearWeight<B>> {
            let mut all = Vec::new();
            for (index, layer) in encoder.$($list).+.iter().enumerate() {
                $(
                    let name = weight_name(prefix, index, &[$(stringify!($field)),+]);
                    all.push((name, &layer.$($field).+.weight));
                )+
            }
            all
        }

        fn $exclusive<'a, B: Backend>(
            encoder: &'a mut $encoder<B>,
            prefix: &str,
        ) -> Matrices<&'a mut LinearWeight<B>> {
            let mut all = Vec::new();
            for (index, layer) in encoder.$($list).+.iter_mut().enumerate() {
                $(
                    let name = weight_name(prefix, index, &[$(stringify!($field)),+]);
                    all.push((name, &mut layer.$($field).+.weight));
                )+
            }
            all
        }
    };
}

matrices!(clip, clip_mut, ClipVisionModel, encoder.layers:
    self_attn.q_proj, self_attn.k_proj, self_attn.v_proj, self_attn.out_proj, mlp.fc1, mlp.fc2);
matrices!(internvit, internvit_mut, InternVisionModel, encoder.layers:
    attn.qkv, attn.proj, mlp.fc1, mlp.fc2);
matrices!(sam, sam_mut, SamImageEncoder, layers: attn.qkv, attn.proj, mlp.lin1, mlp.lin2);
// The joint projection to queries, keys and values is no linear layer there, and never in blocks.
matrices!(imagebind, imagebind_mut, ImageBindAudio, trunk.blocks: attn.out_proj, mlp.fc1, mlp.fc2);

/// Joint projections of ImageBind, which stay floats unless they are rounded to eight bits.
fn joint<'a, B: Backend>(
    encoder: &'a ImageBindAudio<B>,
    prefix: &'a str,
) -> impl Iterator<Item = (String, &'a JointWeight<B>)> {
    let blocks = encoder.trunk.blocks.iter().enumerate();
    blocks.map(move |(index, block)| (joint_name(prefix, index), &block.attn.in_proj_weight))
}

fn joint_mut<'a, B: Backend>(
    encoder: &'a mut ImageBindAudio<B>,
    prefix: &'a str,
) -> impl Iterator<Item = (String, &'a mut JointWeight<B>)> {
    let blocks = encoder.trunk.blocks.iter_mut().enumerate();
    blocks.map(move |(index, block)| (joint_name(prefix, index), &mut block.attn.in_proj_weight))
}

fn joint_name(prefix: &str, index: usize) -> String {
    format!("{prefix}{index}.attn.in_proj_weight")
}

/// Name of the weight of a layer's matrix.
fn weight_name(prefix: &str, index: usize, fields: &[&str]) -> String {
    format!("{prefix}{index}.{}.weight", fields.join("."))
}

impl<B: Backend> AnyRefModel<B> {
    fn encoder_matrices(&self) -> Matrices<&LinearWeight<B>> {
        let mut all = match &self.vision_tower {
            Tower::Clip(tower) => clip(tower, TOWER),
            Tower::InternVit(tower) => internvit(tower, TOWER),
        };
        if let Some(MaskImageEncoder::Sam(encoder)) = &self.image_encoder {
            all.extend(sam(encoder, &format!("{IMAGE_ENCODER}{SAM_LAYERS}")));
        }
        if let Some(encoder) = &self.audio_encoder {
            all.extend(imagebind(encoder, AUDIO));
        }
        all
    }

    fn encoder_matrices_mut(&mut self) -> Matrices<&mut LinearWeight<B>> {
        let mut all = match &mut self.vision_tower {
            Tower::Clip(tower) => clip_mut(tower, TOWER),
            Tower::InternVit(tower) => internvit_mut(tower, TOWER),
        };
        if let Some(MaskImageEncoder::Sam(encoder)) = &mut self.image_encoder {
            all.extend(sam_mut(encoder, &format!("{IMAGE_ENCODER}{SAM_LAYERS}")));
        }
        if let Some(encoder) = &mut self.audio_encoder {
            all.extend(imagebind_mut(encoder, AUDIO));
        }
        all
    }

    /// Names of the encoders' matrices that can be in blocks.
    pub(crate) fn encoder_matrix_names(&self) -> BTreeSet<String> {
        let matrices = self.encoder_matrices().into_iter();
        matrices.map(|(name, _)| name).collect()
    }

    /// Matrices of the encoders in blocks, as tensors of a file; those of eight bits are `Q8_0`.
    pub fn encoder_block_tensors(&self) -> Vec<OutputTensor> {
        let matrices = self.encoder_matrices().into_iter();
        let audio = self.audio_encoder.iter();
        let joint = audio.flat_map(|encoder| joint(encoder, AUDIO));
        let joint = joint.filter_map(|(name, weight)| Some((name, weight.rounded()?)));
        let all = matrices.chain(joint);
        let tensors = all.filter_map(|(name, weight)| OutputTensor::of_linear(name, weight));
        tensors.collect()
    }

    /// Rounds matrices of the encoders that are floats in memory, those whose rows fit the form.
    /// Lazy parameters, which have not been drawn yet, are left alone.
    pub fn quantize_encoders(&mut self, asked: EncoderBlocks) {
        for (name, weight) in self.encoder_matrices_mut() {
            let ([d_input, d_output], asked) = (weight.dims(), asked.of(&name));
            let form = asked.and_then(|asked| asked.fitting::<B>(d_input));
            let dense = weight.dense().filter(|_| weight.is_initialized());
            if let (Some(form), Some(dense)) = (form, dense) {
                let values = dense.val().transpose().into_data();
                let values: Vec<f32> = values.iter::<f32>().collect();
                *weight = rounded(form, [d_output, d_input], &values, &weight.device());
            }
        }
        let (Some(EncoderFormat::Int8), Some(encoder)) = (asked.audio, &mut self.audio_encoder)
        else {
            return;
        };
        for (_, weight) in joint_mut(encoder, AUDIO) {
            let (dims, device) = (weight.dims(), weight.device());
            let floats = weight.floats().filter(|floats| floats.is_initialized());
            if let (Some(floats), true) = (floats, LinearWeight::<B>::fits_int8(dims[1])) {
                let values: Vec<f32> = floats.val().into_data().iter::<f32>().collect();
                let rounded = rounded(EncoderFormat::Int8, dims, &values, &device);
                *weight = JointWeight::Rounded(rounded);
            }
        }
    }

    /// Fills matrices of the encoders with blocks or integers out of a checkpoint: those that are
    /// in blocks there, and with `asked` all whose rows fit the form. Returns the names of what was
    /// read.
    pub(crate) fn load_encoder_blocks(
        &mut self,
        checkpoint: &Checkpoint,
        asked: EncoderBlocks,
    ) -> Result<BTreeSet<String>> {
        let matrices = self.encoder_matrices_mut();
        let find = |name: &str| checkpoint.get(name);
        let mut names = load(matrices, find, |name| asked.of(name))?;
        if let (Some(EncoderFormat::Int8), Some(encoder)) = (asked.audio, &mut self.audio_encoder) {
            for (name, weight) in joint_mut(encoder, AUDIO) {
                let (dims, device) = (weight.dims(), weight.device());
                let Some(entry) = fitting_joint::<B>(checkpoint.get(&name), dims) else {
                    continue;
                };
                let floats = entry.in_floats()?.expect("a matrix of floats");
                let fetch = |rows| floats.fetch(rows);
                let rounded = LinearWeight::read_int8(dims, fetch, &device)?;
                *weight = JointWeight::Rounded(rounded);
                names.insert(name);
            }
        }
        Ok(names)
    }

    /// Bytes that [`load_encoder_blocks`](Self::load_encoder_blocks) would hold, by name.
    pub(crate) fn encoder_block_bytes(
        &self,
        checkpoint: &Checkpoint,
        asked: EncoderBlocks,
    ) -> Vec<(String, u64)> {
        let find = |name: &str| checkpoint.get(name);
        let mut all = bytes(self.encoder_matrices(), find, |name| asked.of(name));
        if let (Some(form @ EncoderFormat::Int8), Some(encoder)) =
            (asked.audio, &self.audio_encoder)
        {
            all.extend(joint(encoder, AUDIO).filter_map(|(name, weight)| {
                let dims = weight.dims();
                fitting_joint::<B>(checkpoint.get(&name), dims)?;
                Some((name, form.bytes(dims)? as u64))
            }));
        }
        all
    }
}

/// Rounds a matrix `[d_output, d_input]` in memory.
fn rounded<B: Backend>(
    form: EncoderFormat,
    dims: [usize; 2],
    values: &[f32],
    device: &B::Device,
) -> LinearWeight<B> {
    match form {
        EncoderFormat::Blocks(block_type) => {
            let blocks = Blocks::quantize(block_type, dims, values);
            let blocks = blocks.expect("whole blocks of a written format");
            LinearWeight::from_blocks(&blocks, device)
        }
        EncoderFormat::Int8 => {
            let [_, d_input] = dims;
            let fetch = |rows: std::ops::Range<usize>| {
                let rows = &values[rows.start * d_input..rows.end * d_input];
                Ok::<_, Infallible>(Cow::Borrowed(rows))
            };
            let Ok(weight) = LinearWeight::read_int8(dims, fetch, device);
            weight
        }
    }
}

/// Tensor of a joint projection `[outputs, inputs]` that can be rounded to eight bits.
fn fitting_joint<B: Backend>(
    entry: Option<&TensorEntry>,
    dims: [usize; 2],
) -> Option<&TensorEntry> {
    let fits = |entry: &&TensorEntry| entry.shape == dims && entry.dtype.is_float();
    entry
        .filter(fits)
        .filter(|_| LinearWeight::<B>::fits_int8(dims[1]))
}

const SAM_LAYERS: &str = "layers.";

/// Fills matrices of SAM's image encoder alone with blocks; `find` has the tensors by the names of
/// its parameters. Returns the names of the tensors read.
pub(crate) fn load_sam_blocks<'a, B: Backend>(
    encoder: &mut SamImageEncoder<B>,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
    asked: Option<EncoderFormat>,
) -> Result<BTreeSet<String>> {
    load(sam_mut(encoder, SAM_LAYERS), find, |_| asked)
}

/// Bytes that [`load_sam_blocks`] would hold, by name.
pub(crate) fn sam_block_bytes<'a, B: Backend>(
    encoder: &SamImageEncoder<B>,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
    asked: Option<EncoderFormat>,
) -> Vec<(String, u64)> {
    bytes(sam(encoder, SAM_LAYERS), find, |_| asked)
}

/// Fills matrices with blocks and returns the names of the tensors read.
fn load<'a, B: Backend>(
    matrices: Matrices<&mut LinearWeight<B>>,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
    asked: impl Fn(&str) -> Option<EncoderFormat>,
) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (name, weight) in matrices {
        let [d_input, d_output] = weight.dims();
        let found = chosen::<B>(find(&name), [d_input, d_output], asked(&name));
        let Some((entry, form)) = found else {
            continue;
        };
        let device = weight.device();
        *weight = match form {
            EncoderFormat::Blocks(block_type) => {
                LinearWeight::read_blocks(&entry.in_blocks(block_type)?, &device)?
            }
            EncoderFormat::Int8 => {
                let floats = entry.in_floats()?.expect("a matrix of floats");
                let fetch = |rows| floats.fetch(rows);
                LinearWeight::read_int8([d_output, d_input], fetch, &device)?
            }
        };
        names.insert(entry.name.clone());
    }
    Ok(names)
}

/// Bytes of the matrices that [`load`] would fill, by the names of their tensors.
fn bytes<'a, B: Backend>(
    matrices: Matrices<&LinearWeight<B>>,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
    asked: impl Fn(&str) -> Option<EncoderFormat>,
) -> Vec<(String, u64)> {
    let of = |(name, weight): (String, &LinearWeight<B>)| {
        let [d_input, d_output] = weight.dims();
        let (entry, form) = chosen::<B>(find(&name), [d_input, d_output], asked(&name))?;
        let bytes = form.bytes([d_output, d_input])?;
        Some((entry.name.clone(), bytes as u64))
    };
    matrices.into_iter().filter_map(of).collect()
}

/// Tensor of a matrix and the form that it is loaded in; none where it stays floats, or has another
/// shape.
fn chosen<B: Backend>(
    entry: Option<&TensorEntry>,
    [d_input, d_output]: [usize; 2],
    asked: Option<EncoderFormat>,
) -> Option<(&TensorEntry, EncoderFormat)> {
    let entry = entry?;
    let form = match asked {
        Some(asked) => asked.fitting::<B>(d_input)?,
        None => entry.block_type()?.into(),
    };
    let fits = entry.shape == [d_output, d_input] && entry.dtype.is_float();
    fits.then_some((entry, form))
}
