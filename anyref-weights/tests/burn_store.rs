//! Saved modules have the names and layouts of burn-store's adapter.
#![cfg(feature = "burn-store")]

mod common;

use std::collections::HashMap;
use std::fs;

use anyref_ops::testing::fill;
use anyref_weights::{SaveOptions, save_module};
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot};
use common::{Net, TestBackend};

#[test]
fn names_and_layouts_are_those_of_burn_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let net = fill(Net::<TestBackend>::new(&Default::default()), 3, 1.0);
    save_module(&net, &path, &SaveOptions::default()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let ours = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let snapshots: HashMap<_, _> = net
        .collect(None, Some(Box::new(BurnToPyTorchAdapter)), true)
        .into_iter()
        .map(|snapshot| (snapshot.full_path(), snapshot.to_data().unwrap()))
        .collect();
    assert_eq!(ours.len(), snapshots.len());
    for (name, view) in ours.iter() {
        assert_eq!(view.shape(), &snapshots[name].shape[..], "{name}");
        assert_eq!(view.data(), snapshots[name].as_bytes(), "{name}");
    }
}
