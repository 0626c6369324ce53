//! A LLaMA's weights in blocks: loading them so, rounding them, and writing them.

use std::collections::BTreeSet;

use anyref_ops::blocks::{BlockRows, Blocks};
use anyref_ops::nn::{EmbeddingWeight, LinearWeight};
use anyref_weights::{Checkpoint, OutputTensor, TensorEntry};
use burn::tensor::TensorData;
use burn::tensor::backend::Backend;

use super::rules::{AskedForm, Fitting, HEAD, Quantization, TABLE};
use crate::error::Result;
use crate::model::Llama;

/// Weight that can be in blocks.
enum Slot<'a, B: Backend> {
    Linear(&'a mut LinearWeight<B>),
    Table(&'a mut EmbeddingWeight<B>),
}

impl<B: Backend> Slot<'_, B> {
    /// Shape in the layout of files.
    fn shape(&self) -> [usize; 2] {
        match self {
            Self::Linear(weight) => {
                let [d_input, d_output] = weight.dims();
                [d_output, d_input]
            }
            Self::Table(weight) => weight.lazy_shape().dims(),
        }
    }

    /// Values in the layout of files; none of a weight in blocks.
    fn floats(&self) -> Option<TensorData> {
        match self {
            Self::Linear(weight) => Some(weight.dense()?.val().transpose().into_data()),
            Self::Table(weight) => Some(weight.dense()?.val().into_data()),
        }
    }

    fn fill<R: BlockRows>(self, blocks: &R) -> Result<(), R::Error> {
        match self {
            Self::Linear(weight) => {
                *weight = LinearWeight::read_blocks(blocks, &weight.device())?;
            }
            Self::Table(weight) => {
                *weight = EmbeddingWeight::read_blocks(blocks, &weight.device())?;
            }
        }
        Ok(())
    }
}

/// Weights that were loaded in blocks.
#[derive(Debug, Clone, Default)]
pub struct BlocksLoaded {
    /// Names in the checkpoint.
    pub names: BTreeSet<String>,
    /// Number of weights that got another format than requested, or stay in floats because no
    /// format holds their rows whole.
    pub fell_back: usize,
}

impl<B: Backend> Llama<B> {
    /// Weights in blocks as tensors of a file, by their names in the model after `prefix`, which
    /// [`output_tensors`](anyref_weights::output_tensors) omits.
    pub fn block_tensors(&self, prefix: &str) -> Vec<OutputTensor> {
        let projections = self.named_projections();
        let projections = projections.map(|(name, linear)| (name, &linear.base_layer.weight));
        let head = self.lm_head.iter();
        let head = head.map(|head| (HEAD.to_owned(), &head.weight));
        let matrices = projections.chain(head).filter_map(|(name, weight)| {
            let name = format!("{prefix}{name}");
            OutputTensor::of_linear(name, weight)
        });
        let table = &self.model.embed_tokens.weight;
        let table = OutputTensor::of_table(format!("{prefix}{TABLE}"), table);
        matrices.chain(table).collect()
    }

    /// Number of values in blocks, which [`num_params`](burn::module::Module::num_params) does not
    /// count.
    pub fn block_values(&self) -> usize {
        let tensors = self.block_tensors("");
        let values = |tensor: &OutputTensor| tensor.shape.iter().product::<usize>();
        tensors.iter().map(values).sum()
    }

    /// Loads weights in blocks from a checkpoint: matrices stored in blocks, and, with
    /// `quantization`, matrices stored as floats, which are rounded. Tensors that the result does
    /// not name are left to [`load_module`](anyref_weights::load_module), including those of
    /// another shape. Rows are read and rounded by all threads while they are repacked; memory
    /// holds some of them beside the model.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn load_blocks(
        &mut self,
        checkpoint: &Checkpoint,
        prefix: &str,
        quantization: Option<&Quantization>,
    ) -> Result<BlocksLoaded> {
        let mut loaded = BlocksLoaded::default();
        for (name, slot) in self.slots() {
            let stored = format!("{prefix}{name}");
            let Some(entry) = checkpoint.get(&stored) else {
                continue;
            };
            let shape = slot.shape();
            if entry.shape != shape || !entry.dtype.is_float() {
                continue;
            }
            let chosen = choose(entry, &name, shape[1], quantization);
            loaded.fell_back += usize::from(chosen.fell_back);
            let Some(block_type) = chosen.block_type else {
                continue;
            };
            slot.fill(&entry.in_blocks(block_type)?)?;
            loaded.names.insert(stored);
        }
        Ok(loaded)
    }

    /// Rounds weights that are floats in memory, one after another.
    pub fn quantize(&mut self, quantization: &Quantization) {
        for (name, slot) in self.slots() {
            let shape = slot.shape();
            let AskedForm::Blocks(asked) = quantization.of(&name) else {
                continue;
            };
            let Some(block_type) = Fitting::new(asked, shape[1]).block_type else {
                continue;
            };
            if let Some(values) = slot.floats() {
                let values: Vec<f32> = values.iter::<f32>().collect();
                let blocks = Blocks::quantize(block_type, shape, &values);
                let Ok(()) = slot.fill(&blocks.expect("whole blocks of a written format"));
            }
        }
    }

    /// Weights that [`quantize`](Self::quantize) would round, each with its bytes in blocks, by
    /// their names.
    pub fn quantized_bytes(&self, quantization: &Quantization) -> Vec<(String, u64)> {
        let of = |name: String, [d_input, d_output]: [usize; 2]| {
            let AskedForm::Blocks(asked) = quantization.of(&name) else {
                return None;
            };
            let row = Fitting::new(asked, d_input)
                .block_type?
                .row_bytes(d_input)?;
            Some((name, (d_output * row) as u64))
        };
        let projections = self.named_projections();
        let projections = projections.map(|(name, linear)| (name, linear.base_layer.weight.dims()));
        let head = self.lm_head.iter();
        let head = head.map(|head| (HEAD.to_owned(), head.weight.dims()));
        let [tokens, width] = self.model.embed_tokens.weight.lazy_shape().dims();
        let table = [(TABLE.to_owned(), [width, tokens])];
        let all = projections.chain(head).chain(table);
        all.filter_map(|(name, dims)| of(name, dims)).collect()
    }

    /// Bytes that [`load_blocks`](Self::load_blocks) would hold, by name in the checkpoint.
    pub fn block_bytes(
        &self,
        checkpoint: &Checkpoint,
        prefix: &str,
        quantization: Option<&Quantization>,
    ) -> Vec<(String, u64)> {
        let mut bytes = Vec::new();
        let mut add = |name: &str, [rows, columns]: [usize; 2]| {
            let stored = format!("{prefix}{name}");
            let Some(entry) = checkpoint.get(&stored) else {
                return;
            };
            let chosen = choose(entry, name, columns, quantization);
            let row = chosen.block_type.and_then(|block| block.row_bytes(columns));
            if let Some(row) = row.filter(|_| entry.shape == [rows, columns]) {
                bytes.push((stored, (rows * row) as u64));
            }
        };
        for (name, linear) in self.named_projections() {
            let [d_input, d_output] = linear.base_layer.weight.dims();
            add(&name, [d_output, d_input]);
        }
        if let Some(head) = &self.lm_head {
            let [d_input, d_output] = head.weight.dims();
            add(HEAD, [d_output, d_input]);
        }
        add(TABLE, self.model.embed_tokens.weight.lazy_shape().dims());
        bytes
    }

    /// Weights that can be stored in blocks, by their names.
    fn slots(&mut self) -> impl Iterator<Item = (String, Slot<'_, B>)> {
        let Llama { model, lm_head, .. } = self;
        let layers = model.layers.iter_mut().enumerate();
        let projections = layers.flat_map(|(index, layer)| {
            let (attention, mlp) = (&mut layer.self_attn, &mut layer.mlp);
            let weights = [
                ("self_attn.q_proj", &mut attention.q_proj),
                ("self_attn.k_proj", &mut attention.k_proj),
                ("self_attn.v_proj", &mut attention.v_proj),
                ("self_attn.o_proj", &mut attention.o_proj),
                ("mlp.gate_proj", &mut mlp.gate_proj),
                ("mlp.up_proj", &mut mlp.up_proj),
                ("mlp.down_proj", &mut mlp.down_proj),
            ];
            weights.map(|(name, linear)| {
                let name = format!("model.layers.{index}.{name}.base_layer.weight");
                (name, Slot::Linear(&mut linear.base_layer.weight))
            })
        });
        let head = lm_head.iter_mut();
        let head = head.map(|head| (HEAD.to_owned(), Slot::Linear(&mut head.weight)));
        let table = &mut model.embed_tokens.weight;
        projections
            .chain(head)
            .chain([(TABLE.to_owned(), Slot::Table(table))])
    }
}

/// Chooses the format in which a weight is loaded: that of its file, or the requested one.
fn choose(
    entry: &TensorEntry,
    name: &str,
    columns: usize,
    quantization: Option<&Quantization>,
) -> Fitting {
    let asked = quantization.map_or(AskedForm::AsStored, |rules| rules.of(name));
    let kept = |block_type| Fitting {
        block_type,
        fell_back: false,
    };
    match asked {
        AskedForm::Blocks(asked) => Fitting::new(asked, columns),
        AskedForm::Floats => kept(None),
        AskedForm::AsStored => kept(entry.block_type()),
    }
}
