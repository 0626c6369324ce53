//! Memory layout of weights that suits a device.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor, backend::Backend};

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

/// Converts the matrices of a drawn or trained module's linear layers to a type and lays them out
/// as [`load_module`](crate::load_module) leaves matrices of a mapped file, the inputs of an output
/// contiguous. Other parameters keep their type. Lazy weights are initialised.
pub fn with_matrices_as_mapped<B: Backend, M: Module<B>>(module: M, dtype: DType) -> M {
    let path = ParamPath::default();
    module.map(&mut AsMapped { path, dtype })
}

#[derive(Debug)]
struct AsMapped {
    path: ParamPath,
    dtype: DType,
}

impl<B: Backend> ModuleMapper<B> for AsMapped {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if !self.path.is_matrix(D) {
            return param;
        }
        let transposed = self.path.is_transposed(D);
        param.map(|matrix| {
            let matrix = matrix.cast(self.dtype);
            if !transposed {
                return matrix;
            }
            let lines = matrix.swap_dims(D - 2, D - 1);
            let shape = lines.dims();
            // Flattening makes the values contiguous.
            let flat: Tensor<B, 1> = lines.flatten(0, D - 1);
            flat.reshape(shape).swap_dims(D - 2, D - 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
    use burn_flex::Flex;

    use super::*;

    #[derive(Module, Debug)]
    struct Layer<B: Backend> {
        norm: LayerNorm<B>,
        linear: Linear<B>,
    }

    #[test]
    fn matrices_alone_are_converted_and_keep_their_values() {
        let device = Default::default();
        let layer = Layer::<Flex> {
            norm: LayerNormConfig::new(5).init(&device),
            linear: LinearConfig::new(5, 7).init(&device),
        };
        let drawn = layer.linear.weight.val();
        let found = with_matrices_as_mapped(layer, DType::BF16);
        let bias = found.linear.bias.expect("a bias").val();
        assert_eq!(
            (bias.dtype(), found.norm.gamma.val().dtype()),
            (DType::F32, DType::F32)
        );
        let weight = found.linear.weight.val();
        assert_eq!(weight.dtype(), DType::BF16);
        assert_eq!(weight.to_data(), drawn.cast(DType::BF16).to_data());
    }
}
