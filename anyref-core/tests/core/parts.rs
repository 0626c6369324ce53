//! Published parts of the fixtures, with their expected outputs.

use std::fs;
use std::path::{Path, PathBuf};

use anyref_core::{AnyRef, Assembly};
use anyref_weights::testing::Fixture;
use tempfile::TempDir;

use crate::common::{TestBackend, tokenizer};

/// Path of a file or folder of the fixtures.
pub fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Inputs and outputs of the reference implementations.
pub fn expected() -> Fixture {
    Fixture::open(published("expected.safetensors"))
}

/// Copies a folder of the fixtures.
pub fn copied(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(published(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// Folder of a language model, with a tokenizer.
pub fn language(name: &str) -> TempDir {
    let folder = copied(name);
    let plain = tokenizer();
    plain.save(folder.path().join("tokenizer.json")).unwrap();
    folder
}

/// Assembly of all parts, for a LLaVA that contains its tower.
pub fn assembly(llm: &Path) -> Assembly {
    Assembly {
        clip: None,
        sam: Some(published("sam.pth")),
        masks: true,
        imagebind: Some(published("imagebind.pth")),
        llm: llm.into(),
        adapter: None,
        dtype: None,
        quantization: None,
        encoders: Default::default(),
        seed: 1,
        max_shard_bytes: 100_000,
    }
}

pub fn load(folder: &Path) -> AnyRef<TestBackend> {
    AnyRef::load(folder, &Default::default()).unwrap()
}
