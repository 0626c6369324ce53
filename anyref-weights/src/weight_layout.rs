//! Memory layout of weights that suits a device.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, backend::Backend};

use crate::param_path::ParamPath;

/// Gives the weights of a drawn or trained module's linear layers the memory layout in which
/// [`load_module`](crate::load_module) leaves them ([`anyref_ops::as_stored`]). Values stay equal;
/// decoding on a GPU is faster. Lazy weights are initialised.
pub fn with_stored_layout<B: Backend, M: Module<B>>(module: M) -> M {
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
