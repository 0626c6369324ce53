//! Parts of a model, and how the model is written.

use std::path::PathBuf;

use anyref_llm::Quantization;
use burn::tensor::DType;

use crate::encoder_blocks::EncoderBlocks;

/// Places of the parts on this machine, and how the model is written.
#[derive(Debug, Clone)]
pub struct Assembly {
    /// CLIP; may be left out when the language model is a LLaVA that carries its own.
    pub clip: Option<PathBuf>,
    /// SAM; may be left out when the language model is a LISA or GLaMM, which carries its own.
    pub sam: Option<PathBuf>,
    /// Makes masks, which needs a SAM. Without masks a LLaVA is kept as a model that answers in
    /// words alone.
    pub masks: bool,
    /// ImageBind; without it the model does not hear.
    pub imagebind: Option<PathBuf>,
    /// LLaMA, LLaVA, LISA or GLaMM. Without ImageBind, SAM and adapter the latter two are kept as
    /// they are; with one of them their weights initialise an AnyRef, whose references have to be
    /// learned.
    pub llm: PathBuf,
    /// PEFT folder, of the language model or of an AnyRef.
    pub adapter: Option<PathBuf>,
    /// Type of all floats; `None` keeps each tensor's.
    pub dtype: Option<DType>,
    /// Formats of the language model's weights; `None` keeps each tensor's, blocks of a GGUF file
    /// too, unless [`dtype`](Self::dtype) is given.
    pub quantization: Option<Quantization>,
    /// Formats of the matrices of the encoders' layers.
    pub encoders: EncoderBlocks,
    /// Seed of parameters that no part has.
    pub seed: u64,
    /// Largest file of weights in bytes.
    pub max_shard_bytes: u64,
}
