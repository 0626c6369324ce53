//! Matrices of the encoders in blocks: which they are, loading them so, and writing them.

use std::collections::BTreeSet;

use anyref_audio::imagebind::ImageBindAudio;
use anyref_llm::Fitting;
use anyref_ops::blocks::{BlockType, Blocks};
use anyref_ops::nn::LinearWeight;
use anyref_vision::clip::ClipVisionModel;
use anyref_vision::internvit::InternVisionModel;
use anyref_vision::sam::SamImageEncoder;
use anyref_weights::{Checkpoint, OutputTensor, TensorEntry};
use burn::tensor::backend::Backend;

use crate::Result;
use crate::model::AnyRefModel;
use crate::sam::MaskImageEncoder;
use crate::tower::Tower;

/// Formats of blocks that the matrices of the encoders' layers are rounded to; `None` keeps what
/// the files have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncoderBlocks {
    /// Format of CLIP's or InternViT's, and SAM's.
    pub vision: Option<BlockType>,
    /// Format of ImageBind's.
    pub audio: Option<BlockType>,
}

impl EncoderBlocks {
    /// Returns whether nothing is rounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Format asked for a matrix of a whole model.
    pub(crate) fn of(&self, name: &str) -> Option<BlockType> {
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
// The joint projection to queries, keys and values is no linear layer there and stays floats.
matrices!(imagebind, imagebind_mut, ImageBindAudio, trunk.blocks: attn.out_proj, mlp.fc1, mlp.fc2);

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

    /// Matrices of the encoders in blocks, as tensors of a file.
    pub fn encoder_block_tensors(&self) -> Vec<OutputTensor> {
        let matrices = self.encoder_matrices().into_iter();
        let tensors = matrices.filter_map(|(name, weight)| OutputTensor::of_linear(name, weight));
        tensors.collect()
    }

    /// Rounds matrices of the encoders that are floats in memory, those whose rows are whole
    /// blocks. Lazy parameters, which have not been drawn yet, are left alone.
    pub fn quantize_encoders(&mut self, asked: EncoderBlocks) {
        for (name, weight) in self.encoder_matrices_mut() {
            let ([d_input, d_output], asked) = (weight.dims(), asked.of(&name));
            let fitting = asked.and_then(|asked| Fitting::new(asked, d_input).block_type);
            let dense = weight.dense().filter(|_| weight.is_initialized());
            if let (Some(block_type), Some(dense)) = (fitting, dense) {
                let values = dense.val().transpose().into_data();
                let values: Vec<f32> = values.iter::<f32>().collect();
                let blocks = Blocks::quantize(block_type, [d_output, d_input], &values);
                let blocks = blocks.expect("whole blocks of a written format");
                *weight = LinearWeight::from_blocks(&blocks, &weight.device());
            }
        }
    }

    /// Fills matrices of the encoders with blocks out of a checkpoint: those that are in blocks
    /// there, and with `asked` all whose rows are whole blocks. Returns the names of what was read.
    pub(crate) fn load_encoder_blocks(
        &mut self,
        checkpoint: &Checkpoint,
        asked: EncoderBlocks,
    ) -> Result<BTreeSet<String>> {
        let asked = |name: &str| asked.of(name);
        let matrices = self.encoder_matrices_mut();
        load(matrices, |name| checkpoint.get(name), asked)
    }

    /// Bytes that [`load_encoder_blocks`](Self::load_encoder_blocks) would hold, by name.
    pub(crate) fn encoder_block_bytes(
        &self,
        checkpoint: &Checkpoint,
        asked: EncoderBlocks,
    ) -> Vec<(String, u64)> {
        let asked = |name: &str| asked.of(name);
        bytes(self.encoder_matrices(), |name| checkpoint.get(name), asked)
    }
}

const SAM_LAYERS: &str = "layers.";

/// Fills matrices of SAM's image encoder alone with blocks; `find` has the tensors by the names of
/// its parameters. Returns the names of the tensors read.
pub(crate) fn load_sam_blocks<'a, B: Backend>(
    encoder: &mut SamImageEncoder<B>,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
    asked: Option<BlockType>,
) -> Result<BTreeSet<String>> {
    load(sam_mut(encoder, SAM_LAYERS), find, |_| asked)
}

/// Bytes that [`load_sam_blocks`] would hold, by name.
pub(crate) fn sam_block_bytes<'a, B: Backend>(
    encoder: &SamImageEncoder<B>,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
    asked: Option<BlockType>,
) -> Vec<(String, u64)> {
    bytes(sam(encoder, SAM_LAYERS), find, |_| asked)
}

/// Fills matrices with blocks and returns the names of the tensors read.
fn load<'a, B: Backend>(
    matrices: Matrices<&mut LinearWeight<B>>,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
    asked: impl Fn(&str) -> Option<BlockType>,
) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (name, weight) in matrices {
        let Some((entry, block_type)) = chosen(find(&name), weight.dims(), asked(&name)) else {
            continue;
        };
        let blocks = entry.in_blocks(block_type)?;
        *weight = LinearWeight::read_blocks(&blocks, &weight.device())?;
        names.insert(entry.name.clone());
    }
    Ok(names)
}

/// Bytes of the matrices that [`load`] would fill, by the names of their tensors.
fn bytes<'a, B: Backend>(
    matrices: Matrices<&LinearWeight<B>>,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
    asked: impl Fn(&str) -> Option<BlockType>,
) -> Vec<(String, u64)> {
    let of = |(name, weight): (String, &LinearWeight<B>)| {
        let [d_input, d_output] = weight.dims();
        let (entry, block_type) = chosen(find(&name), weight.dims(), asked(&name))?;
        let bytes = d_output * block_type.row_bytes(d_input)?;
        Some((entry.name.clone(), bytes as u64))
    };
    matrices.into_iter().filter_map(of).collect()
}

/// Tensor of a matrix and the format that it is loaded in; none where it stays floats, or has
/// another shape.
fn chosen(
    entry: Option<&TensorEntry>,
    [d_input, d_output]: [usize; 2],
    asked: Option<BlockType>,
) -> Option<(&TensorEntry, BlockType)> {
    let entry = entry?;
    let block_type = match asked {
        Some(asked) => Fitting::new(asked, d_input).block_type?,
        None => entry.block_type()?,
    };
    let fits = entry.shape == [d_output, d_input] && entry.dtype.is_float();
    fits.then_some((entry, block_type))
}
