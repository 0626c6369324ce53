//! Weights in the order that suits a device.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, backend::Backend};

use crate::param_path::ParamPath;

/// A module whose weights were drawn or trained, with those of its linear layers where [`load_module`](crate::load_module)
/// would have left them ([`anyref_ops::as_stored`]): the same numbers, of which a GPU makes an answer's next token sooner. Weights that
/// are not initialised yet are by this.
pub fn as_loaded<B: Backend, M: Module<B>>(module: M) -> M {
    module.map(&mut Orderer::default())
}

#[derive(Debug, Default)]
struct Orderer {
    path: ParamPath,
}

impl<B: Backend> ModuleMapper<B> for Orderer {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        match self.path.is_transposed(D) {
            true => param.map(anyref_ops::as_stored),
            false => param,
        }
    }
}
