//! Kinds and shapes of a module's parameters.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Int, Tensor};

use crate::param_path::{ParamPath, is_variant};

/// Kind and shape of a parameter, as a checkpoint must have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// `float`, `int` or `bool`.
    pub kind: &'static str,
    /// Shape in PyTorch's layout.
    pub shape: Vec<usize>,
    /// Fields that lead to the parameter, joined by dots, as burn names them, without variants of
    /// enums.
    pub path: String,
}

/// Collects the parameters of a module by their names in PyTorch, without initialising any.
pub fn parameters<B: Backend, M: Module<B>>(module: &M) -> BTreeMap<String, Parameter> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.parameters
}

#[derive(Debug, Default)]
struct Collector {
    path: ParamPath,
    fields: Vec<String>,
    parameters: BTreeMap<String, Parameter>,
}

impl Collector {
    fn add(&mut self, kind: &'static str, mut shape: Vec<usize>) {
        if self.path.is_transposed(shape.len()) {
            shape.reverse();
        }
        let path = self.fields.join(".");
        self.parameters
            .insert(self.path.torch_name(), Parameter { kind, shape, path });
    }
}

impl<B: Backend> ModuleVisitor<B> for Collector {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
        if !is_variant(container_type) {
            self.fields.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
        if !is_variant(container_type) {
            self.fields.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.add("float", param.lazy_shape().to_vec());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<B, D, Int>>) {
        self.add("int", param.lazy_shape().to_vec());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<B, D, Bool>>) {
        self.add("bool", param.lazy_shape().to_vec());
    }
}
