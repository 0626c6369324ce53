//! Saved modules match PyTorch's expectations in every type, and are written completely or not at
//! all.

mod common;

use std::fs;
use std::path::Path;

use anyref_ops::testing::fill;
use anyref_weights::testing::Fixture;
use anyref_weights::{
    Checkpoint, Error, LoadOptions, OutputTensor, SaveOptions, load_module, output_tensors,
    save_module,
};
use burn::backend::Autodiff;
use burn::tensor::{DType, TensorData};
use common::{Net, TestBackend, fixture};

fn loaded(name: &str, cast: Option<DType>) -> Net<TestBackend> {
    let mut net = Net::new(&Default::default());
    let checkpoint = Checkpoint::open(fixture(name)).unwrap();
    load_module(
        &mut net,
        &checkpoint,
        &LoadOptions::default().with_cast(cast),
    )
    .unwrap();
    net
}

/// Asserts equal names, shapes, types and values of two checkpoints.
fn assert_equal(a: &Checkpoint, b: &Checkpoint) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.tensors().zip(b.tensors()) {
        assert_eq!((&a.name, &a.shape), (&b.name, &b.shape));
        assert_eq!(a.read().unwrap(), b.read().unwrap(), "{}", a.name);
    }
}

#[test]
fn load_and_save_give_the_file_of_pytorch_in_every_type() {
    let folder = tempfile::tempdir().unwrap();
    for (name, dtype) in [
        ("net.safetensors", DType::F32),
        ("net_f16.safetensors", DType::F16),
        ("net_bf16.safetensors", DType::BF16),
    ] {
        let wanted = Checkpoint::open(fixture(name)).unwrap();
        let path = folder.path().join(name);
        // Unchanged, and by way of f32.
        save_module(&loaded(name, None), &path, &SaveOptions::default()).unwrap();
        assert_equal(&Checkpoint::open(&path).unwrap(), &wanted);
        let options = SaveOptions::default().with_dtype(Some(dtype));
        save_module(&loaded(name, Some(DType::F32)), &path, &options).unwrap();
        assert_equal(&Checkpoint::open(&path).unwrap(), &wanted);
    }
}

#[test]
fn rounding_to_half_types_is_that_of_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    for (name, dtype) in [
        ("net_f16.safetensors", DType::F16),
        ("net_bf16.safetensors", DType::BF16),
    ] {
        let net = loaded("net.safetensors", None);
        save_module(&net, &path, &SaveOptions::default().with_dtype(Some(dtype))).unwrap();
        assert_equal(
            &Checkpoint::open(&path).unwrap(),
            &Checkpoint::open(fixture(name)).unwrap(),
        );
    }
}

#[test]
fn other_readers_see_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let net = loaded("net.safetensors", None);
    save_module(
        &net,
        &path,
        &SaveOptions::default().with_metadata("note", "a \"b\""),
    )
    .unwrap();

    let bytes = fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    assert_eq!(metadata["note"], "a \"b\"");
    assert_eq!(metadata["format"], "pt");
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(
        theirs.len(),
        output_tensors(&net, &SaveOptions::default()).len()
    );
}

#[test]
fn shards_and_index_load_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let net = fill(Net::<TestBackend>::new(&Default::default()), 3, 1.0);
    let whole = save_module(
        &net,
        folder.path().join("whole.safetensors"),
        &SaveOptions::default(),
    );
    let options = SaveOptions::default()
        .with_max_shard_bytes(600)
        .with_prefix("m.");
    let index = save_module(&net, folder.path().join("model.safetensors"), &options).unwrap();
    assert!(index.ends_with("model.safetensors.index.json"));
    let shards = fs::read_dir(folder.path())
        .unwrap()
        .filter(|f| {
            f.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("-of-")
        })
        .count();
    assert!(shards > 2, "{shards}");

    let checkpoint = Checkpoint::open(&index).unwrap();
    let mut again = Net::<TestBackend>::new(&Default::default());
    load_module(
        &mut again,
        &checkpoint,
        &LoadOptions::default().with_prefix("m."),
    )
    .unwrap();
    let path = folder.path().join("again.safetensors");
    save_module(&again, &path, &SaveOptions::default()).unwrap();
    assert_equal(
        &Checkpoint::open(path).unwrap(),
        &Checkpoint::open(whole.unwrap()).unwrap(),
    );
}

#[test]
fn autodiff_modules_are_saved_as_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let mut net = Net::<Autodiff<TestBackend>>::new(&Default::default());
    let checkpoint = Checkpoint::open(fixture("net.pt")).unwrap();
    load_module(&mut net, &checkpoint, &LoadOptions::default()).unwrap();
    save_module(&net, &path, &SaveOptions::default()).unwrap();
    assert_equal(&Checkpoint::open(path).unwrap(), &checkpoint);
}

#[test]
fn a_failed_save_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let net = loaded("net.safetensors", None);
    save_module(&net, &path, &SaveOptions::default()).unwrap();
    let before = fs::read(&path).unwrap();
    // A type that the format lacks.
    let options =
        SaveOptions::default().with_dtype(Some(DType::Bool(burn::tensor::BoolStore::U32)));
    let error = save_module(&net, &path, &options).unwrap_err();
    assert!(matches!(error, Error::DType { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let error = save_module(
        &net,
        folder.path().join("none/net.safetensors"),
        &SaveOptions::default(),
    );
    assert!(matches!(error, Err(Error::NotFound(_))), "{error:?}");
    // A folder in the way: the rename fails and the temporary file is removed.
    fs::create_dir(folder.path().join("taken")).unwrap();
    assert!(save_module(&net, folder.path().join("taken"), &SaveOptions::default()).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn integers_are_saved_and_loaded() {
    use burn::module::{Module, Param, ParamId};
    use burn::tensor::{Int, Tensor, backend::Backend};

    #[derive(Module, Debug)]
    struct Counter<B: Backend> {
        steps: Param<Tensor<B, 1, Int>>,
        scale: Param<Tensor<B, 1>>,
    }
    let device = Default::default();
    let new = |steps: [i64; 2], scale: [f32; 1]| Counter::<TestBackend> {
        steps: Param::initialized(ParamId::new(), Tensor::from_data(steps, &device)),
        scale: Param::initialized(ParamId::new(), Tensor::from_data(scale, &device)),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter.safetensors");
    let options = SaveOptions::default().with_dtype(Some(DType::BF16));
    save_module(&new([3, -4], [0.5]), &path, &options).unwrap();
    let mut counter = new([0, 0], [0.0]);
    load_module(
        &mut counter,
        &Checkpoint::open(&path).unwrap(),
        &LoadOptions::default(),
    )
    .unwrap();
    let fixture = Fixture::open(&path);
    assert_eq!(fixture.data("scale").dtype, DType::BF16);
    let steps: Vec<i64> = counter.steps.val().to_data().iter().collect();
    assert_eq!(steps, [3, -4]);
    assert_eq!(counter.scale.val().into_scalar(), 0.5);
}

#[test]
fn a_checkpoint_in_no_file_makes_its_tensors_when_they_are_read() {
    let made = |name: &str, dtype, values: Vec<f32>| {
        let shape = [values.len()];
        OutputTensor::new(name, dtype, shape, move || {
            Ok(TensorData::new(values.clone(), shape))
        })
    };
    let tensors = vec![
        made("b", DType::F32, vec![1.5, -2.0]),
        made("a", DType::F16, vec![0.25]),
        OutputTensor::new("short", DType::F32, [3], || Ok(TensorData::from([1.0_f32]))),
    ];
    let checkpoint = Checkpoint::of_tensors("parts.json", tensors).unwrap();
    let names: Vec<_> = checkpoint
        .tensors()
        .map(|tensor| &tensor.name[..])
        .collect();
    assert_eq!(names, ["a", "b", "short"]);
    let entry = checkpoint.require("b").unwrap();
    assert_eq!(entry.path(), Path::new("parts.json"));
    assert_eq!(entry.read().unwrap(), TensorData::from([1.5_f32, -2.0]));
    let half = checkpoint.require("a").unwrap();
    assert_eq!(
        (half.dtype, half.read().unwrap().dtype),
        (DType::F16, DType::F16)
    );
    let error = checkpoint
        .require("short")
        .unwrap()
        .read()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("short") && error.contains("4 bytes instead of 12"),
        "{error}"
    );

    let twice = vec![made("a", DType::F32, vec![]), made("a", DType::F32, vec![])];
    let error = Checkpoint::of_tensors("parts.json", twice)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`a`") && error.contains("parts.json"),
        "{error}"
    );
}
