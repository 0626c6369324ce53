//! Conversion of a checkpoint's tensors for burn-store.

use std::rc::Rc;

use burn::module::ParamId;
use burn::tensor::Shape;
use burn_store::{TensorSnapshot, TensorSnapshotError};

use crate::checkpoint::Checkpoint;

impl Checkpoint {
    /// Returns the tensors as burn-store's snapshots, each read on demand, to be filtered, adapted
    /// and applied with burn-store's own tools (`ModuleSnapshot::apply`). Names and layout are the
    /// file's.
    ///
    /// [`load_module`](crate::load_module) does all of this strictly, in one call.
    pub fn snapshots(&self) -> Vec<TensorSnapshot> {
        self.tensors()
            .map(|entry| {
                let (dtype, shape) = (entry.dtype, Shape::from(entry.shape.clone()));
                let path: Vec<String> = entry.name.split('.').map(str::to_owned).collect();
                let entry = entry.clone();
                let read = Rc::new(move || {
                    entry
                        .read()
                        .map_err(|e| TensorSnapshotError::DataError(e.to_string()))
                });
                TensorSnapshot::from_closure(read, dtype, shape, path, Vec::new(), ParamId::new())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::backend::Backend;
    use burn_flex::Flex;
    use burn_store::{ModuleSnapshot, PyTorchToBurnAdapter};

    use super::*;
    use crate::{LoadOptions, SaveOptions, load_module, save_module};
    use anyref_ops::nn::{LayerNorm, LayerNormConfig};
    use anyref_ops::testing;

    #[derive(Module, Debug)]
    struct Pair<B: Backend> {
        linear: Linear<B>,
        norm: LayerNorm<B>,
    }

    fn pair() -> Pair<Flex> {
        let device = Default::default();
        Pair {
            linear: LinearConfig::new(3, 5).init(&device),
            norm: LayerNormConfig::new(5).init(&device),
        }
    }

    #[test]
    fn burn_store_applies_what_load_module_loads() {
        let folder = tempfile::tempdir().unwrap();
        let saved = testing::fill(pair(), 7, 1.0);
        let file = folder.path().join("pair.safetensors");
        save_module(&saved, &file, &SaveOptions::default()).unwrap();
        let checkpoint = Checkpoint::open(&file).unwrap();
        let (mut ours, mut theirs) = (pair(), pair());
        load_module(&mut ours, &checkpoint, &LoadOptions::default()).unwrap();
        let adapter = Box::new(PyTorchToBurnAdapter);
        let result = theirs.apply(checkpoint.snapshots(), None, Some(adapter), false);
        // burn-store lists a normalisation's parameters under `unused` by their PyTorch names even
        // after applying them by their own.
        assert_eq!(result.applied.len(), 4, "{result}");
        assert!(
            result.missing.is_empty() && result.errors.is_empty(),
            "{result}"
        );
        assert_eq!(ours.linear.weight.to_data(), theirs.linear.weight.to_data());
        assert_eq!(ours.norm.gamma.to_data(), theirs.norm.gamma.to_data());
        assert_eq!(ours.norm.gamma.to_data(), saved.norm.gamma.to_data());
    }
}
