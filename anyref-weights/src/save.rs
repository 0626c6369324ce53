//! Writing a module as safetensors, in PyTorch's names and layout.

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::output_tensor::OutputTensor;
use crate::param_path::{ParamPath, transpose};
use crate::save_options::SaveOptions;
use crate::writer::write_checkpoint;

/// Writes every parameter of `module` to `path`, a `.safetensors` file that PyTorch reads with the
/// names and shapes it expects.
///
/// Tensors are fetched from the device one at a time. The file appears under its name only when it
/// is complete. If [`max_shard_bytes`](SaveOptions::max_shard_bytes) requires shards,
/// `model.safetensors` becomes `model-00001-of-00002.safetensors`, ... and
/// `model.safetensors.index.json`.
///
/// Returns the path to open: `path`, or that of the index.
///
/// # Errors
/// See [`write_checkpoint`].
pub fn save_module<B: Backend, M: Module<B>>(
    module: &M,
    path: impl AsRef<Path>,
    options: &SaveOptions,
) -> Result<PathBuf> {
    write_checkpoint(path, output_tensors(module, options), options)
}

/// Parameters of `module` as [`save_module`] writes them, to be filtered, renamed and passed to
/// [`write_checkpoint`]. Uses prefix and type of the options.
pub fn output_tensors<B: Backend, M: Module<B>>(
    module: &M,
    options: &SaveOptions,
) -> Vec<OutputTensor> {
    let mut collector = Collector {
        path: ParamPath::default(),
        options,
        tensors: Vec::new(),
    };
    module.visit(&mut collector);
    collector.tensors
}

/// Collects the tensors of a module; a clone of a tensor shares its memory.
struct Collector<'a> {
    path: ParamPath,
    options: &'a SaveOptions,
    tensors: Vec<OutputTensor>,
}

impl Collector<'_> {
    fn add(
        &mut self,
        dtype: DType,
        mut shape: Vec<usize>,
        data: impl Fn() -> Result<TensorData, String> + Send + Sync + 'static,
    ) {
        let name = format!("{}{}", self.options.prefix, self.path.torch_name());
        let transposed = self.path.is_transposed(shape.len());
        let (rows, columns) = match (transposed, &shape[..]) {
            (true, &[rows, columns]) => (rows, columns),
            _ => (0, 0),
        };
        if transposed {
            shape.reverse();
        }
        let tensor = name.clone();
        let data = move || {
            let data = data().map_err(|reason| Error::Device {
                tensor: tensor.clone(),
                reason,
            })?;
            if !transposed {
                return Ok(data);
            }
            let stored = data.dtype;
            let bytes = transpose(data.as_bytes(), rows, columns, stored.size());
            Ok(TensorData::from_bytes_vec(bytes, [columns, rows], stored))
        };
        self.tensors
            .push(OutputTensor::new(name, dtype, shape, data));
    }
}

impl<B: Backend> ModuleVisitor<B> for Collector<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.transform_for_save().val();
        let dtype = self.options.dtype.unwrap_or(tensor.dtype());
        self.add(dtype, tensor.dims().to_vec(), move || {
            tensor.clone().try_into_data().map_err(|e| format!("{e:?}"))
        });
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<B, D, Int>>) {
        let tensor = param.transform_for_save().val();
        self.add(tensor.dtype(), tensor.dims().to_vec(), move || {
            tensor.clone().try_into_data().map_err(|e| format!("{e:?}"))
        });
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<B, D, Bool>>) {
        let tensor = param.transform_for_save().val();
        let dtype = DType::Bool(burn::tensor::BoolStore::Native);
        self.add(dtype, tensor.dims().to_vec(), move || {
            tensor.clone().try_into_data().map_err(|e| format!("{e:?}"))
        });
    }
}
