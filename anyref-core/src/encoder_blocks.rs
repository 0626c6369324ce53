//! Matrices of the picture encoders in blocks: which they are, loading them so, and writing them.

use std::collections::BTreeSet;

use anyref_llm::Fitting;
use anyref_ops::blocks::{BlockType, Blocks};
use anyref_ops::nn::LinearWeight;
use anyref_weights::{Checkpoint, OutputTensor, TensorEntry};
use burn::tensor::backend::Backend;

use crate::Result;
use crate::model::AnyRefModel;
use crate::sam::MaskImageEncoder;
use crate::tower::Tower;

/// Matrices of the layers of CLIP or InternViT, and of SAM, with the names of their parameters.
macro_rules! matrices {
    ($model:expr, $iter:ident $(, $mutable:tt)?) => {{
        let mut matrices = Vec::new();
        match & $($mutable)? $model.vision_tower {
            Tower::Clip(clip) => {
                for (index, layer) in clip.encoder.layers.$iter().enumerate() {
                    let layer = [
                        ("self_attn.k_proj", & $($mutable)? layer.self_attn.k_proj.weight),
                        ("self_attn.v_proj", & $($mutable)? layer.self_attn.v_proj.weight),
                        ("self_attn.q_proj", & $($mutable)? layer.self_attn.q_proj.weight),
                        ("self_attn.out_proj", & $($mutable)? layer.self_attn.out_proj.weight),
                        ("mlp.fc1", & $($mutable)? layer.mlp.fc1.weight),
                        ("mlp.fc2", & $($mutable)? layer.mlp.fc2.weight),
                    ];
                    matrices.extend(layer.map(|(name, weight)| {
                        (format!("vision_tower.encoder.layers.{index}.{name}.weight"), weight)
                    }));
                }
            }
            Tower::InternVit(tower) => {
                for (index, layer) in tower.encoder.layers.$iter().enumerate() {
                    let layer = [
                        ("attn.qkv", & $($mutable)? layer.attn.qkv.weight),
                        ("attn.proj", & $($mutable)? layer.attn.proj.weight),
                        ("mlp.fc1", & $($mutable)? layer.mlp.fc1.weight),
                        ("mlp.fc2", & $($mutable)? layer.mlp.fc2.weight),
                    ];
                    matrices.extend(layer.map(|(name, weight)| {
                        (format!("vision_tower.encoder.layers.{index}.{name}.weight"), weight)
                    }));
                }
            }
        }
        if let Some(MaskImageEncoder::Sam(sam)) = & $($mutable)? $model.image_encoder {
            for (index, layer) in sam.layers.$iter().enumerate() {
                let layer = [
                    ("attn.qkv", & $($mutable)? layer.attn.qkv.weight),
                    ("attn.proj", & $($mutable)? layer.attn.proj.weight),
                    ("mlp.lin1", & $($mutable)? layer.mlp.lin1.weight),
                    ("mlp.lin2", & $($mutable)? layer.mlp.lin2.weight),
                ];
                matrices.extend(layer.map(|(name, weight)| {
                    (format!("image_encoder.layers.{index}.{name}.weight"), weight)
                }));
            }
        }
        matrices.into_iter()
    }};
}

impl<B: Backend> AnyRefModel<B> {
    /// Matrices of the picture encoders in blocks, as tensors of a file.
    pub fn encoder_block_tensors(&self) -> Vec<OutputTensor> {
        let tensor = |(name, weight): (String, &LinearWeight<B>)| {
            let ([d_input, d_output], weight) = (weight.dims(), weight.clone());
            let block_type = weight.block_type()?;
            let blocks = move || Ok(weight.to_blocks().expect("a weight in blocks"));
            let shape = [d_output, d_input];
            Some(OutputTensor::of_blocks(name, block_type, shape, blocks))
        };
        matrices!(self, iter).filter_map(tensor).collect()
    }

    /// Fills matrices of the picture encoders with blocks out of a checkpoint: those that are in
    /// blocks there, and with `asked` all whose rows are whole blocks. Returns the names of what
    /// was read.
    pub(crate) fn load_encoder_blocks(
        &mut self,
        checkpoint: &Checkpoint,
        asked: Option<BlockType>,
    ) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for (name, weight) in matrices!(self, iter_mut, mut) {
            let Some((entry, block_type)) = chosen(checkpoint, &name, weight.dims(), asked) else {
                continue;
            };
            let blocks = match entry.read_blocks()? {
                Some(blocks) if entry.block_type() == Some(block_type) => blocks,
                _ => {
                    let values: Vec<f32> = entry.read()?.iter::<f32>().collect();
                    let [d_input, d_output] = weight.dims();
                    let blocks = Blocks::quantize(block_type, [d_output, d_input], &values);
                    blocks.expect("whole blocks of a written format")
                }
            };
            *weight = LinearWeight::from_blocks(&blocks, &weight.device());
            names.insert(name);
        }
        Ok(names)
    }

    /// Bytes that [`load_encoder_blocks`](Self::load_encoder_blocks) would hold, by name.
    pub(crate) fn encoder_block_bytes(
        &self,
        checkpoint: &Checkpoint,
        asked: Option<BlockType>,
    ) -> Vec<(String, u64)> {
        let bytes = |(name, weight): (String, &LinearWeight<B>)| {
            let [d_input, d_output] = weight.dims();
            let (_, block_type) = chosen(checkpoint, &name, weight.dims(), asked)?;
            Some((name, (d_output * block_type.row_bytes(d_input)?) as u64))
        };
        matrices!(self, iter).filter_map(bytes).collect()
    }
}

/// Tensor of a matrix and the format that it is loaded in; none where it stays floats, or has
/// another shape.
fn chosen<'a>(
    checkpoint: &'a Checkpoint,
    name: &str,
    [d_input, d_output]: [usize; 2],
    asked: Option<BlockType>,
) -> Option<(&'a TensorEntry, BlockType)> {
    let entry = checkpoint.get(name)?;
    let block_type = match asked {
        Some(asked) => Fitting::new(asked, d_input).block_type?,
        None => entry.block_type()?,
    };
    let fits = entry.shape == [d_output, d_input] && entry.dtype.is_float();
    fits.then_some((entry, block_type))
}
