//! Memory of weights, computed before they are loaded.

use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use anyref_weights::{
    Checkpoint, LoadOptions, OutputTensor, SaveOptions, WeightMemory, WeightType, load_module,
    save_module, weight_memory,
};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, Tolerance};

type TestBackend = burn_flex::Flex;

/// Values of the matrix.
const MATRIX: u64 = 256 * 512;
/// Values of bias and norm, too small to be mapped.
const SMALL: u64 = 3 * 512;

#[derive(Module, Debug)]
struct Layer<B: Backend> {
    linear: Linear<B>,
    norm: LayerNorm<B>,
}

fn layer() -> Layer<TestBackend> {
    let device = Default::default();
    Layer {
        linear: LinearConfig::new(256, 512).init(&device),
        norm: LayerNormConfig::new(512).init(&device),
    }
}

/// Bytes of the parameters of a loaded module.
fn loaded(module: &Layer<TestBackend>) -> u64 {
    struct Size(u64);

    impl ModuleVisitor<TestBackend> for Size {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<TestBackend, D>>) {
            let values = param.val();
            self.0 += (values.shape().num_elements() * values.dtype().size()) as u64;
        }
    }

    let mut size = Size(0);
    module.visit(&mut size);
    size.0
}

#[test]
fn copies_and_mapped_weights_are_told_apart_and_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let matrices = |dtype| LoadOptions::default().with_matrices(Some(dtype));
    let memory = |mapped, held| WeightMemory { mapped, held };
    let (f32, f16) = (DType::F32, DType::F16);
    for (stored, options, expected) in [
        // Without a cast of its own a matrix is treated like the rest, in f32.
        (f32, LoadOptions::default(), memory(4 * MATRIX, 4 * SMALL)),
        (f16, LoadOptions::default(), memory(0, 4 * (MATRIX + SMALL))),
        (
            f16,
            matrices(WeightType::Auto),
            memory(2 * MATRIX, 4 * SMALL),
        ),
        (
            f16,
            matrices(WeightType::Bf16),
            memory(0, 2 * MATRIX + 4 * SMALL),
        ),
        (
            f32,
            matrices(WeightType::F16),
            memory(0, 2 * MATRIX + 4 * SMALL),
        ),
        (
            f32,
            LoadOptions::default().with_mapped(false),
            memory(0, 4 * (MATRIX + SMALL)),
        ),
    ] {
        let path = folder.path().join("layer.safetensors");
        let save = SaveOptions::default().with_dtype(Some(stored));
        save_module(&layer(), &path, &save).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let mut module = layer();
        let found = weight_memory(&module, &checkpoint, &options).unwrap();
        assert_eq!(found, expected, "{stored:?} {options:?}");
        load_module(&mut module, &checkpoint, &options).unwrap();
        assert_eq!(found.total(), loaded(&module), "{stored:?} {options:?}");
    }
    // Under another name a matrix lies where it did, unless it is of another type.
    let path = folder.path().join("layer.safetensors");
    let checkpoint = Checkpoint::open(&path).unwrap();
    for (dtype, expected) in [
        (None, memory(4 * MATRIX, 4 * SMALL)),
        (Some(DType::F16), memory(0, 4 * (MATRIX + SMALL))),
    ] {
        let renamed = checkpoint.tensors().map(|entry| {
            let name = entry.name.replace("linear.", "projection.");
            OutputTensor::from_entry(name, entry, dtype)
        });
        let renamed = Checkpoint::of_tensors("parts.json", renamed.collect()).unwrap();
        let options = LoadOptions::default().with_rename(r"^projection\.", "linear.");
        let mut module = layer();
        let found = weight_memory(&module, &renamed, &options).unwrap();
        assert_eq!(found, expected, "{dtype:?}");
        load_module(&mut module, &renamed, &options).unwrap();
        let mut direct = layer();
        load_module(&mut direct, &checkpoint, &LoadOptions::default()).unwrap();
        let [found, wanted] = [module, direct].map(|m| m.linear.weight.val().into_data());
        found.assert_approx_eq::<f32>(&wanted, Tolerance::absolute(1e-3));
    }
    // A checkpoint in memory is never mapped.
    let bytes = std::fs::read(folder.path().join("layer.safetensors")).unwrap();
    let checkpoint = Checkpoint::from_bytes("model.safetensors", bytes).unwrap();
    let found = weight_memory(&layer(), &checkpoint, &LoadOptions::default()).unwrap();
    assert_eq!(found, memory(0, 4 * (MATRIX + SMALL)));
}
