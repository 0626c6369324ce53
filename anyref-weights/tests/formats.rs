//! Every format gives the tensors that PyTorch wrote.

mod common;

use anyref_ops::testing::{assert_close, max_abs_difference};
use anyref_weights::hub::HubError;
use anyref_weights::testing::Fixture;
use anyref_weights::{Checkpoint, Error, LoadOptions, load_module};
use burn::tensor::{BoolStore, DType};
use common::{Net, TestBackend, fixture};

/// Asserts tensors, names and types equal to those of `net.safetensors`.
fn assert_same(name: &str, expected: &str, dtype: DType) {
    let (found, expected) = (
        Checkpoint::open(fixture(name)).unwrap(),
        Checkpoint::open(fixture(expected)).unwrap(),
    );
    let names: Vec<_> = found
        .tensors()
        .map(|t| (t.name.clone(), t.shape.clone()))
        .collect();
    let wanted: Vec<_> = expected
        .tensors()
        .map(|t| (t.name.clone(), t.shape.clone()))
        .collect();
    assert_eq!(names, wanted, "{name}");
    for (a, b) in found.tensors().zip(expected.tensors()) {
        assert_eq!(a.dtype, dtype, "{name}: {}", a.name);
        assert_eq!(a.read().unwrap(), b.read().unwrap(), "{name}: {}", a.name);
    }
}

#[test]
fn pytorch_files_and_shards_equal_safetensors() {
    for name in [
        "net.pt",
        "net_legacy.pth",
        "net_protocol4.pt",
        "sharded",
        "sharded_bin",
    ] {
        assert_same(name, "net.safetensors", DType::F32);
    }
    assert_same(
        "sharded/model.safetensors.index.json",
        "net.safetensors",
        DType::F32,
    );
    assert_same("net_bf16.bin", "net_bf16.safetensors", DType::BF16);
}

#[test]
fn nested_dictionaries_are_joined_with_dots() {
    let checkpoint = Checkpoint::open(fixture("net_nested.pt")).unwrap();
    assert_eq!(checkpoint.len(), 16);
    assert!(checkpoint.tensors().all(|t| t.name.starts_with("model.")));
}

#[test]
fn views_of_storages_are_read_through_their_strides() {
    let wanted = Fixture::open(fixture("views.safetensors"));
    for name in ["views.pt", "views_legacy.pt"] {
        let found = Checkpoint::open(fixture(name)).unwrap();
        assert_eq!(found.len(), wanted.checkpoint().len());
        for tensor in found.tensors() {
            assert_eq!(
                tensor.read().unwrap(),
                wanted.data(&tensor.name),
                "{name}: {}",
                tensor.name
            );
        }
        assert_eq!(found.get("transposed").unwrap().shape, [6, 4]);
        assert_eq!(
            found.get("flags").unwrap().dtype,
            DType::Bool(BoolStore::Native)
        );
        assert_eq!(
            found
                .require("ints")
                .unwrap()
                .read()
                .unwrap()
                .to_vec::<i64>()
                .unwrap(),
            [-1, 1 << 40]
        );
    }
}

#[test]
fn the_network_computes_what_pytorch_computes() {
    let device = Default::default();
    let io = Fixture::open(fixture("net_io.safetensors"));
    for name in [
        "net.safetensors",
        "net.pt",
        "net_legacy.pth",
        "sharded",
        "sharded_bin",
    ] {
        let checkpoint = Checkpoint::open(fixture(name)).unwrap();
        let mut net = Net::<TestBackend>::new(&device);
        let report = load_module(&mut net, &checkpoint, &LoadOptions::default()).unwrap();
        assert_eq!(report.loaded.len(), 16, "{report}");
        let logits = net.forward(io.tensor("pixels", &device), io.int_tensor("ids", &device));
        assert_close(&logits, &io.tensor("logits", &device), 1e-5);
    }
}

#[test]
fn an_unknown_tensor_is_answered_with_the_nearest_name() {
    let checkpoint = Checkpoint::open(fixture("net.safetensors")).unwrap();
    let error = checkpoint
        .require("layers.0.fc1.weight")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("did you mean `layers.0.fc.weight`?"),
        "{error}"
    );
}

#[test]
fn metadata_of_safetensors_is_kept() {
    let checkpoint = Checkpoint::open(fixture("net.safetensors")).unwrap();
    assert!(checkpoint.metadata().contains_key("torch"));
}

#[test]
fn half_precision_files_are_near() {
    let wanted = Fixture::open(fixture("net.safetensors"));
    for (name, bound) in [
        ("net_f16.safetensors", 5e-4),
        ("net_bf16.safetensors", 4e-3),
    ] {
        let found = Fixture::open(fixture(name));
        for tensor in wanted.checkpoint().tensors() {
            let data = found.data(&tensor.name).convert_dtype(DType::F32);
            assert!(
                max_abs_difference(&data, &wanted.data(&tensor.name)) <= bound,
                "{name}"
            );
        }
    }
}

#[test]
fn a_location_of_the_hub_is_refused_and_not_fetched() {
    for path in [
        "hf://org/name",
        "hf://org/name@main/model.safetensors",
        "hf://",
    ] {
        let error = Checkpoint::open(path).unwrap_err();
        assert!(
            matches!(&error, Error::Hub(HubError::NotLocal(named)) if named == path),
            "{error}"
        );
        let message = error.to_string();
        assert!(message.starts_with(path), "{message}");
        assert!(message.contains("hub::local_path"), "{message}");
    }
}
