//! Conversion of a GGUF model to the form of Hugging Face's files.

use std::path::Path;

use anyref_weights::{Checkpoint, OutputTensor, TensorEntry};
use burn::tensor::{DType, TensorData};

use super::config::{Architecture, problem};
use super::names;
use super::pairs::Pairs;
use crate::config::LlamaConfig;
use crate::error::Result;

/// Names of a layer's tensors in GGUF files and in Hugging Face's.
const PARTS: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Configuration and tensors of the model in a GGUF file, with the names and the row order of
/// Hugging Face's `LlamaForCausalLM`. Matrices in blocks stay in blocks.
///
/// # Errors
/// See [`load_gguf`](super::load_gguf), except for shapes; also when the file divides its rotary
/// frequencies, which Hugging Face's configuration cannot express.
pub fn hugging_face_checkpoint(path: impl AsRef<Path>) -> Result<(LlamaConfig, Checkpoint)> {
    let path = path.as_ref();
    let (checkpoint, metadata) = Checkpoint::open_gguf(path)?;
    let config = LlamaConfig::from_gguf(&metadata, &checkpoint)?;
    let paired = Architecture::read(path, &metadata)? == Architecture::Llama;
    let head = config.head_width();
    let mut tensors = Vec::with_capacity(checkpoint.len());
    for entry in checkpoint.tensors() {
        if entry.name == names::FREQUENCIES {
            let reason = "factors of rotary frequencies, which only the model by itself can have";
            return Err(problem(path, reason));
        }
        let name = name(&entry.name).ok_or_else(|| {
            let reason = format!("tensor `{}` belongs to no part of a LLaMA", entry.name);
            problem(path, reason)
        })?;
        let turned = name.contains("q_proj") || name.contains("k_proj");
        let rows = entry.shape[0];
        let pairs = (paired && turned && rows.is_multiple_of(head)).then_some(Pairs { head });
        tensors.push(match pairs {
            None => OutputTensor::from_entry(name, entry, None),
            Some(pairs) => reordered(name, entry, pairs),
        });
    }
    Ok((config, Checkpoint::of_tensors(path, tensors)?))
}

/// Name in Hugging Face's files; `None` for tensors that LLaMA lacks.
fn name(gguf: &str) -> Option<String> {
    match gguf {
        names::TABLE => return Some("model.embed_tokens.weight".into()),
        names::NORM => return Some("model.norm.weight".into()),
        names::HEAD => return Some("lm_head.weight".into()),
        _ => {}
    }
    let (layer, rest) = gguf.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (part, kind) = rest.split_once('.')?;
    let (_, name) = PARTS.iter().find(|(gguf, _)| *gguf == part)?;
    Some(format!("model.layers.{layer}.{name}.{kind}"))
}

/// Copies a tensor with its rows reordered.
fn reordered(name: String, entry: &TensorEntry, pairs: Pairs) -> OutputTensor {
    let (shape, entry) = (entry.shape.clone(), entry.clone());
    if let (Some(block), &[rows, columns]) = (entry.block_type(), shape.as_slice()) {
        return OutputTensor::of_blocks(name, block, [rows, columns], move || {
            let blocks = entry.read_blocks()?.expect("a matrix in blocks");
            Ok(blocks.with_rows(|row| pairs.row(row)))
        });
    }
    OutputTensor::new(name, DType::F32, shape.clone(), move || {
        let values: Vec<f32> = entry.read()?.iter::<f32>().collect();
        let width = values.len() / shape[0].max(1);
        let rows = (0..shape[0]).flat_map(|row| &values[pairs.row(row) * width..][..width]);
        Ok(TensorData::new(
            rows.copied().collect::<Vec<f32>>(),
            shape.clone(),
        ))
    })
}
