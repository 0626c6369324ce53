//! Memory of a module's weights, computed before any value is read.

use std::collections::HashMap;

use anyref_ops::{StoredWeights, stored_weights};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, DType, Element, Int, Tensor};
use regex::Regex;

use crate::checkpoint::{Checkpoint, TensorEntry};
use crate::error::Result;
use crate::load::{patterns, renamed_tensors};
use crate::load_options::LoadOptions;
use crate::param_path::ParamPath;

/// Memory of the weights of a loaded module, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WeightMemory {
    /// Bytes of weights used in place in a mapped file: pages that the system reads on first access
    /// and may drop again.
    pub mapped: u64,
    /// Bytes of weights held as copies.
    pub held: u64,
}

impl WeightMemory {
    /// Bytes of all weights.
    pub fn total(&self) -> u64 {
        self.mapped + self.held
    }
}

/// Memory that [`load_module`](crate::load_module) would use for the weights of `module`. No values
/// are read, and no parameter is initialised. Parameters that the checkpoint lacks do not count.
///
/// # Errors
/// When a rule of the options is invalid or two tensors get one name.
pub fn weight_memory<B: Backend, M: Module<B>>(
    module: &M,
    checkpoint: &Checkpoint,
    options: &LoadOptions,
) -> Result<WeightMemory> {
    let mut visitor = Reckoner {
        path: ParamPath::default(),
        tensors: renamed_tensors(checkpoint, options)?,
        options,
        wide: patterns("wide", &options.wide)?,
        memory: WeightMemory::default(),
    };
    module.visit(&mut visitor);
    Ok(visitor.memory)
}

struct Reckoner<'a> {
    path: ParamPath,
    tensors: HashMap<String, &'a TensorEntry>,
    options: &'a LoadOptions,
    wide: Vec<Regex>,
    memory: WeightMemory,
}

impl Reckoner<'_> {
    /// Adds the current parameter, in the type returned by `cast`.
    fn add(
        &mut self,
        cast: impl FnOnce(&Self, &TensorEntry) -> Option<DType>,
        stay: StoredWeights,
    ) {
        let Some(tensor) = self.tensors.get(&self.path.torch_name()).copied() else {
            return;
        };
        let dtype = cast(self, tensor).unwrap_or(tensor.dtype);
        let bytes = (tensor.num_elements() * dtype.size()) as u64;
        let transposed = self.path.is_transposed(tensor.shape.len());
        let as_stored = dtype == tensor.dtype && (!transposed || stay != StoredWeights::None);
        match self.options.mapped && as_stored && tensor.is_mappable() {
            true => self.memory.mapped += bytes,
            false => self.memory.held += bytes,
        }
    }
}

impl<B: Backend> ModuleVisitor<B> for Reckoner<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let stay = stored_weights::<B>(&param.lazy_device());
        let cast = |this: &Self, tensor: &TensorEntry| {
            this.options.float_type(&this.path, tensor, &this.wide)
        };
        self.add(cast, stay);
    }

    fn visit_int<const D: usize>(&mut self, _param: &Param<Tensor<B, D, Int>>) {
        self.add(|_, _| Some(B::IntElem::dtype()), StoredWeights::None);
    }

    fn visit_bool<const D: usize>(&mut self, _param: &Param<Tensor<B, D, Bool>>) {
        self.add(|_, _| None, StoredWeights::None);
    }
}
