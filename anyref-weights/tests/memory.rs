//! Loading and saving hold one tensor beside the module; hostile files hold next to nothing.
//!
//! Single test, since the peak is that of the whole process.

#![cfg(target_os = "linux")]

use std::fs;

use anyref_ops::nn::{Linear, LinearConfig};
use anyref_weights::{
    Checkpoint, LoadOptions, OutputTensor, SaveOptions, WeightType, load_module, save_module,
};
use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Distribution, Tensor};

type TestBackend = burn_flex::Flex;

const LAYERS: usize = 16;
/// Size of a layer in f32.
const LAYER_MIB: u64 = 8;

#[derive(Module, Debug)]
struct Stack<B: Backend> {
    layers: Vec<Linear<B>>,
}

fn stack() -> Stack<TestBackend> {
    let linear = || {
        LinearConfig::new(1024, 2048)
            .with_bias(false)
            .init(&Default::default())
    };
    Stack {
        layers: (0..LAYERS).map(|_| linear()).collect(),
    }
}

/// Field of `/proc/self/status`, in MiB.
fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

/// MiB by which `run` raises the peak above the memory resident before.
fn peak<T>(run: impl FnOnce() -> T) -> (T, u64) {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let value = run();
    (value, status("VmHWM:").saturating_sub(before))
}

#[test]
fn peaks_are_one_tensor_above_the_module() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.safetensors");
    let options = SaveOptions::default().with_dtype(Some(DType::F16));
    let module = stack();
    save_module(&module, &path, &SaveOptions::default()).unwrap();
    let (_, saved) = peak(|| save_module(&module, &path, &options).unwrap());
    assert!(saved <= 4 * LAYER_MIB, "saving took {saved} MiB");
    drop(module);

    let (checkpoint, opened) = peak(|| Checkpoint::open(&path).unwrap());
    assert!(opened <= 2, "opening took {opened} MiB");
    let mut module = stack();
    let load = || load_module(&mut module, &checkpoint, &LoadOptions::default()).unwrap();
    let (report, loaded) = peak(load);
    assert_eq!(report.loaded.len(), LAYERS);
    let size = LAYERS as u64 * LAYER_MIB;
    assert!(
        loaded <= size + 4 * LAYER_MIB,
        "loading {size} MiB took {loaded} MiB"
    );

    drop(module);

    // Half weights that stay half: the file's bytes become the module's.
    let mut module = stack();
    let options = LoadOptions::default().with_matrices(Some(WeightType::Auto));
    let (_, loaded) = peak(|| load_module(&mut module, &checkpoint, &options).unwrap());
    let weight = module.layers[0].weight.val();
    assert_eq!(weight.dtype(), DType::F16);
    let size = size / 2;
    assert!(
        100 * loaded <= 115 * size,
        "loading {size} MiB took {loaded} MiB"
    );

    // Values that need no conversion stay in the mapped file, in the file's order, and give equal
    // results.
    let written = stack();
    let path = folder.path().join("full.safetensors");
    save_module(&written, &path, &SaveOptions::default()).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let mut module = stack();
    let load = || load_module(&mut module, &checkpoint, &LoadOptions::default()).unwrap();
    let (_, loaded) = peak(load);
    assert!(loaded <= LAYER_MIB, "loading took {loaded} MiB");
    // So does what only gets another name on the way.
    let renamed = checkpoint.tensors().map(|entry| {
        let name = entry.name.replace("layers.", "blocks.");
        OutputTensor::from_entry(name, entry, None)
    });
    let renamed = Checkpoint::of_tensors("parts.json", renamed.collect()).unwrap();
    let options = LoadOptions::default().with_rename(r"^blocks\.", "layers.");
    let mut module = stack();
    let (_, loaded) = peak(|| load_module(&mut module, &renamed, &options).unwrap());
    assert!(loaded <= LAYER_MIB, "loading took {loaded} MiB");
    for rows in [1, 5, 100] {
        let shape = [rows, 1024];
        let x = Tensor::<TestBackend, 2>::random(shape, Distribution::Default, &Default::default());
        let [found, expected] = [&module, &written].map(|stack| {
            let y = stack.layers[3].forward(x.clone());
            y.into_data().to_vec::<f32>().unwrap()
        });
        let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-4);
    }

    // Headers that promise more bytes than the file has.
    let header = r#"{"w":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}"#;
    let mut lie = (header.len() as u64).to_le_bytes().to_vec();
    lie.extend(header.as_bytes());
    let name = folder.path().join("lie.safetensors");
    for bytes in [lie, [&(90u64 << 20).to_le_bytes()[..], b"{"].concat()] {
        fs::write(&name, bytes).unwrap();
        let (result, opened) = peak(|| Checkpoint::open(&name));
        assert!(result.is_err() && opened <= 2, "{opened} MiB");
    }
}
