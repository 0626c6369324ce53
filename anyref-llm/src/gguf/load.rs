//! Loading of a model from a GGUF file.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use anyref_ops::blocks::ReorderedRows;
use anyref_ops::nn::{Embedding, EmbeddingWeight, Linear, LinearWeight};
use anyref_weights::{Checkpoint, GgufMetadata, TensorEntry};
use burn::module::Param;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

use super::config::{Architecture, problem};
use super::names;
use super::pairs::Pairs;
use crate::attention::LlamaAttention;
use crate::config::LlamaConfig;
use crate::error::Result;
use crate::lora::LoraLinear;
use crate::mlp::LlamaMlp;
use crate::model::Llama;

/// Loads the model of a GGUF file, or of the first of several. Weights in blocks stay in blocks on
/// the processor; the file's content is not held beside them.
///
/// # Errors
/// When the file cannot be read or is damaged, or a tensor is missing, has another shape, or
/// belongs to no part of the model; also see [`LlamaConfig::from_gguf`].
pub fn load_gguf<B: Backend>(path: impl AsRef<Path>, device: &B::Device) -> Result<Llama<B>> {
    let (checkpoint, metadata) = Checkpoint::open_gguf(path)?;
    load(&checkpoint, &metadata, device)
}

/// Loads the model of an opened file.
pub(super) fn load<B: Backend>(
    checkpoint: &Checkpoint,
    metadata: &GgufMetadata,
    device: &B::Device,
) -> Result<Llama<B>> {
    let path = checkpoint.path();
    let config = LlamaConfig::from_gguf(metadata, checkpoint)?;
    let file = File {
        checkpoint,
        device,
        used: RefCell::default(),
    };
    let paired = Architecture::read(path, metadata)? == Architecture::Llama;
    let mut model = config.init::<B>(device);
    let table = file.matrix(names::TABLE, [config.vocab_size, config.hidden_size])?;
    model.model.embed_tokens = Embedding {
        weight: file.table(table)?,
    };
    model.model.norm.weight = file.vector(names::NORM, config.hidden_size)?;
    if let Some(head) = &mut model.lm_head {
        file.fill(head, "output", None)?;
    }
    for (index, layer) in model.model.layers.iter_mut().enumerate() {
        let name = |name: &str| names::of_layer(index, name);
        let norm = name("attn_norm.weight");
        layer.input_layernorm.weight = file.vector(&norm, config.hidden_size)?;
        let norm = name("ffn_norm.weight");
        layer.post_attention_layernorm.weight = file.vector(&norm, config.hidden_size)?;
        file.attention(&mut layer.self_attn, &name, &config, paired)?;
        file.mlp(&mut layer.mlp, &name)?;
    }
    if checkpoint.get(names::FREQUENCIES).is_some() {
        let factors = file.values(names::FREQUENCIES, config.head_width() / 2)?;
        if !factors
            .iter()
            .all(|&factor| factor > 0.0 && factor.is_finite())
        {
            return Err(problem(
                path,
                "factors of rotary frequencies that are not positive",
            ));
        }
        model = model.with_frequency_factors(&factors);
    }
    file.refuse_unused()?;
    Ok(model)
}

/// Tensors of a file, with a record of those used.
struct File<'a, B: Backend> {
    checkpoint: &'a Checkpoint,
    device: &'a B::Device,
    used: RefCell<BTreeSet<String>>,
}

impl<B: Backend> File<'_, B> {
    fn entry(&self, name: &str, shape: &[usize]) -> Result<&TensorEntry> {
        let entry = self.checkpoint.require(name)?;
        if entry.shape != shape {
            let found = &entry.shape;
            let reason = format!("tensor `{name}` has the shape {found:?}, not {shape:?}");
            return Err(problem(self.checkpoint.path(), reason));
        }
        self.used.borrow_mut().insert(name.into());
        Ok(entry)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<&TensorEntry> {
        self.entry(name, &shape)
    }

    fn values(&self, name: &str, length: usize) -> Result<Vec<f32>> {
        let data = self.entry(name, &[length])?.read()?;
        Ok(data.iter::<f32>().collect())
    }

    fn vector(&self, name: &str, length: usize) -> Result<Param<Tensor<B, 1>>> {
        let values = TensorData::new(self.values(name, length)?, [length]);
        let values = Tensor::from_data(values, (self.device, DType::F32));
        Ok(Param::from_tensor(values))
    }

    fn table(&self, entry: &TensorEntry) -> Result<EmbeddingWeight<B>> {
        Ok(match entry.block_type() {
            Some(block_type) => {
                EmbeddingWeight::read_blocks(&entry.in_blocks(block_type)?, self.device)?
            }
            None => Param::from_tensor(self.plain(entry.read()?)).into(),
        })
    }

    /// Creates a matrix in the layout of the file, in the file's type if that is half precision.
    fn plain(&self, data: TensorData) -> Tensor<B, 2> {
        let dtype = match data.dtype {
            DType::F16 | DType::BF16 => data.dtype,
            _ => DType::F32,
        };
        Tensor::from_data(data.convert_dtype(dtype), (self.device, dtype))
    }

    /// Fills a layer with the tensors `name.weight` and, where the layer has one, `name.bias`.
    fn fill(&self, layer: &mut Linear<B>, name: &str, order: Option<Pairs>) -> Result<()> {
        let [d_input, d_output] = layer.weight.dims();
        let entry = self.matrix(&format!("{name}.weight"), [d_output, d_input])?;
        layer.weight = match (entry.block_type(), order) {
            (Some(block_type), None) => {
                LinearWeight::read_blocks(&entry.in_blocks(block_type)?, self.device)?
            }
            (Some(block_type), Some(order)) => {
                let blocks = entry.in_blocks(block_type)?;
                let blocks = ReorderedRows::new(blocks, order.head, |row| order.row(row));
                LinearWeight::read_blocks(&blocks, self.device)?
            }
            (None, order) => {
                let mut stored = self.plain(entry.read()?);
                if let Some(order) = order {
                    let rows: Vec<i64> = (0..d_output).map(|row| order.row(row) as i64).collect();
                    let rows = TensorData::new(rows, [d_output]);
                    stored = stored.select(0, Tensor::from_data(rows, self.device));
                }
                LinearWeight::Dense(Param::from_tensor(stored.transpose()))
            }
        };
        if layer.bias.is_some() {
            let mut values = self.values(&format!("{name}.bias"), d_output)?;
            if let Some(order) = order {
                values = (0..d_output).map(|row| values[order.row(row)]).collect();
            }
            let values = TensorData::new(values, [d_output]);
            let values = Tensor::from_data(values, (self.device, DType::F32));
            layer.bias = Some(Param::from_tensor(values));
        }
        Ok(())
    }

    fn attention(
        &self,
        attention: &mut LlamaAttention<B>,
        name: &dyn Fn(&str) -> String,
        config: &LlamaConfig,
        paired: bool,
    ) -> Result<()> {
        let head = config.head_width();
        let pairs = paired.then_some(Pairs { head });
        let layers: [(&mut LoraLinear<B>, &str, Option<Pairs>); 4] = [
            (&mut attention.q_proj, "attn_q", pairs),
            (&mut attention.k_proj, "attn_k", pairs),
            (&mut attention.v_proj, "attn_v", None),
            (&mut attention.o_proj, "attn_output", None),
        ];
        for (layer, part, order) in layers {
            self.fill(&mut layer.base_layer, &name(part), order)?;
        }
        let norms = [
            (&mut attention.q_norm, "attn_q_norm.weight"),
            (&mut attention.k_norm, "attn_k_norm.weight"),
        ];
        for (norm, part) in norms {
            if let Some(norm) = norm {
                norm.weight = self.vector(&name(part), head)?;
            }
        }
        Ok(())
    }

    fn mlp(&self, mlp: &mut LlamaMlp<B>, name: &dyn Fn(&str) -> String) -> Result<()> {
        let layers = [
            (&mut mlp.gate_proj, "ffn_gate"),
            (&mut mlp.up_proj, "ffn_up"),
            (&mut mlp.down_proj, "ffn_down"),
        ];
        for (layer, part) in layers {
            self.fill(&mut layer.base_layer, &name(part), None)?;
        }
        Ok(())
    }

    /// Rejects tensors that belong to no part of the model, since its answers would be wrong
    /// without them.
    fn refuse_unused(&self) -> Result<()> {
        let used = self.used.borrow();
        let mut unused = self
            .checkpoint
            .tensors()
            .filter(|t| !used.contains(&t.name));
        match unused.next() {
            None => Ok(()),
            Some(first) => {
                let reason = format!(
                    "{} tensors belong to no part of a LLaMA, such as `{}`",
                    1 + unused.count(),
                    first.name
                );
                Err(problem(self.checkpoint.path(), reason))
            }
        }
    }
}
