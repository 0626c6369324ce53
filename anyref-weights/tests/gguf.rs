//! GGUF files compared with PyPI's `gguf`, and hostile ones.

mod common;

use std::fs;
use std::path::PathBuf;

use anyref_ops::blocks::{BlockType, Blocks};
use anyref_weights::{Checkpoint, Error, GgufMetadata, GgufValue};
use burn::tensor::DType;
use common::fixture;
use tempfile::TempDir;

fn values(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let data = checkpoint.require(name).unwrap().read().unwrap();
    data.convert_dtype(DType::F32).to_vec().unwrap()
}

/// Bit patterns, so that signed zeros differ.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn blocks_are_dequantised_bit_for_bit() {
    let checkpoint = Checkpoint::open(fixture("blocks.gguf")).unwrap();
    for block in BlockType::ALL {
        let tensor = checkpoint.require(block.name()).unwrap();
        assert_eq!(tensor.block_type(), Some(block));
        assert_eq!(
            (tensor.shape.as_slice(), tensor.dtype),
            (&[2, 256][..], DType::F32)
        );
        let expected = values(&checkpoint, &format!("{block}.values"));
        assert_eq!(
            bits(&values(&checkpoint, block.name())),
            bits(&expected),
            "{block}"
        );
        let blocks = tensor.read_blocks().unwrap().unwrap();
        assert_eq!((blocks.block_type(), blocks.dims()), (block, [2, 256]));
        assert_eq!(blocks.dequantize(), expected);
    }
    let plain = values(&checkpoint, "F32");
    for (name, dtype) in [
        ("F32", DType::F32),
        ("F16", DType::F16),
        ("BF16", DType::BF16),
    ] {
        let tensor = checkpoint.require(name).unwrap();
        assert_eq!(
            (tensor.dtype, tensor.shape.as_slice()),
            (dtype, &[3, 5][..])
        );
        assert!(tensor.block_type().is_none() && tensor.read_blocks().unwrap().is_none());
        for (found, expected) in values(&checkpoint, name).iter().zip(&plain) {
            assert!((found - expected).abs() <= 0.01 * expected.abs());
        }
    }
    let expected = values(&checkpoint, "BF16.values");
    assert_eq!(values(&checkpoint, "BF16"), expected);
}

#[test]
fn metadata_has_every_kind_of_value() {
    let metadata = GgufMetadata::open(fixture("blocks.gguf")).unwrap();
    assert_eq!(metadata.text("general.architecture"), Some("llama"));
    assert_eq!(metadata.integer("some.number"), Some(7));
    assert_eq!(metadata.get("some.negative"), Some(&GgufValue::Signed(-3)));
    assert_eq!(metadata.integer("some.negative"), None);
    assert_eq!(metadata.float("some.float"), Some(0.5));
    assert_eq!(metadata.flag("some.flag"), Some(true));
    assert_eq!(metadata.text("some.text"), Some("naïve"));
    assert_eq!(metadata.texts("some.texts").unwrap(), ["a", "", "ü"]);
    assert_eq!(metadata.integers("some.integers"), Some(&[1, -2, 3][..]));
    assert_eq!(metadata.floats("some.floats"), Some(&[0.25, -1.0][..]));
    assert!(metadata.get("none").is_none() && metadata.text("some.number").is_none());
    assert!(metadata.iter().count() >= 9);
    assert!(GgufMetadata::is_gguf(fixture("blocks.gguf")));
    assert!(!GgufMetadata::is_gguf(fixture("net.safetensors")));
    assert!(!GgufMetadata::is_gguf(fixture("none.gguf")));
}

#[test]
fn parts_are_joined_from_any_of_them() {
    for part in 1..=2 {
        let path = fixture(&format!("parts-0000{part}-of-00002.gguf"));
        let checkpoint = Checkpoint::open(path).unwrap();
        let names: Vec<_> = checkpoint.tensors().map(|t| t.name.clone()).collect();
        assert_eq!(names, ["F16", "F32", "Q8_0"]);
        checkpoint
            .tensors()
            .for_each(|tensor| _ = tensor.read().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "parts-00001-of-00002.gguf";
    fs::copy(fixture(name), folder.path().join(name)).unwrap();
    let error = Checkpoint::open(folder.path().join(name)).unwrap_err();
    assert!(matches!(&error, Error::ShardMissing { shard, .. } if shard.contains("00002-of")));
    fs::copy(fixture(name), folder.path().join("renamed.gguf")).unwrap();
    let error = Checkpoint::open(folder.path().join("renamed.gguf")).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

/// Q8_0 and Q4_0 are rounded as in llama.cpp, Q4_K at least as well.
#[test]
fn quantisation_is_as_good_as_llama_cpps() {
    let checkpoint = Checkpoint::open(fixture("quantised.gguf")).unwrap();
    let exact = values(&checkpoint, "values");
    let error = |found: &[f32]| {
        let squares = found
            .iter()
            .zip(&exact)
            .map(|(a, b)| f64::from(a - b).powi(2));
        (squares.sum::<f64>() / exact.len() as f64).sqrt()
    };
    for block in [BlockType::Q8_0, BlockType::Q4_0, BlockType::Q4K] {
        let theirs = checkpoint.require(block.name()).unwrap();
        let theirs = theirs.read_blocks().unwrap().unwrap();
        let ours = Blocks::quantize(block, theirs.dims(), &exact).unwrap();
        let errors = [error(&ours.dequantize()), error(&theirs.dequantize())];
        println!("{block}: root mean squared error {errors:?}");
        match block {
            BlockType::Q4K => assert!(errors[0] <= 1.01 * errors[1], "{errors:?}"),
            _ => assert_eq!(ours.bytes(), theirs.bytes(), "{block}"),
        }
    }
}

/// Builder of a file.
#[derive(Default)]
struct File(Vec<u8>);

impl File {
    fn new(tensors: u64, values: u64) -> Self {
        let mut file = Self(b"GGUF\x03\0\0\0".to_vec());
        file.u64(tensors).u64(values);
        file
    }

    fn u32(&mut self, x: u32) -> &mut Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    fn u64(&mut self, x: u64) -> &mut Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.u64(text.len() as u64);
        self.0.extend(text.bytes());
        self
    }

    fn tensor(&mut self, name: &str, dims: &[u64], number: u32, offset: u64) -> &mut Self {
        self.text(name).u32(dims.len() as u32);
        dims.iter().for_each(|&size| _ = self.u64(size));
        self.u32(number).u64(offset)
    }

    fn data(&mut self, bytes: usize) -> &mut Self {
        let start = self.0.len().next_multiple_of(32);
        self.0.resize(start + bytes, 1);
        self
    }

    fn write(&self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        fs::write(&path, &self.0).unwrap();
        (folder, path)
    }

    /// Returns the error of opening after checking that it is one short line that names the file.
    fn error(&self) -> Error {
        let (_folder, path) = self.write();
        let error = Checkpoint::open(&path).expect_err("opened");
        let line = error.to_string();
        assert!(!line.contains('\n') && line.len() < 700, "{line}");
        assert!(line.contains("model.gguf"), "{line}");
        error
    }
}

#[test]
fn counts_and_lengths_that_lie_are_not_believed() {
    const HUGE: u64 = 1 << 60;
    let truncated = |file: &mut File| {
        let error = file.error();
        assert!(matches!(error, Error::Truncated { .. }), "{error}");
    };
    truncated(&mut File::new(HUGE, 0));
    truncated(&mut File::new(0, HUGE));
    truncated(&mut File::new(u64::MAX, u64::MAX));
    // A key, a text, and an array longer than the file.
    truncated(File::new(0, 1).u64(HUGE).data(64));
    truncated(File::new(0, 1).text("key").u32(8).u64(HUGE).data(64));
    truncated(File::new(0, 1).text("key").u32(9).u32(4).u64(HUGE).data(64));
    truncated(File::new(0, 1).text("key").u32(9).u32(8).u64(9).data(64));
    // A tensor outside the file.
    truncated(File::new(1, 0).tensor("x", &[32], 0, 64).data(128));
    truncated(File::new(1, 0).tensor("x", &[32], 0, HUGE).data(128));
    truncated(File::new(1, 0).tensor("x", &[HUGE], 1, 0).data(128));
    truncated(&mut File(b"GGUF\x03\0\0\0\x01".to_vec()));
}

#[test]
fn contradictions_are_errors() {
    let corrupt = |file: &mut File, word: &str| {
        let error = file.error();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    let tensor = |dims: &[u64], number, offset| {
        let mut file = File::new(1, 0);
        file.tensor("x", dims, number, offset).data(4096);
        file
    };
    corrupt(&mut tensor(&[32], 0, 8), "alignment");
    corrupt(&mut tensor(&[], 0, 0), "0 dimensions");
    corrupt(&mut tensor(&[1; 5], 0, 0), "5 dimensions");
    corrupt(&mut tensor(&[0, 4], 0, 0), "no values");
    corrupt(&mut tensor(&[33], 8, 0), "no whole");
    corrupt(&mut tensor(&[128], 12, 0), "no whole");
    corrupt(&mut tensor(&[1 << 40, 1 << 40], 0, 0), "no whole");
    let mut overlapping = File::new(2, 0);
    overlapping
        .tensor("a", &[32], 0, 0)
        .tensor("b", &[32], 0, 64)
        .data(4096);
    corrupt(&mut overlapping, "overlap");
    corrupt(File::new(0, 1).text("key").u32(77).data(64), "type 77");
    corrupt(File::new(0, 1).text("a\nb").u32(4).u32(1).data(64), "a key");
    corrupt(
        File::new(0, 1).text("key").u32(7).u32(9).data(64),
        "neither",
    );
    corrupt(
        File::new(0, 1).text("key").u32(9).u32(9).u64(1).data(64),
        "arrays",
    );
    let twice = |file: &mut File| {
        file.text("key").u32(4).u32(1);
    };
    let mut file = File::new(0, 2);
    twice(&mut file);
    twice(&mut file);
    corrupt(file.data(64), "twice");
    for alignment in [0, 3, 1 << 30] {
        let mut file = File::new(0, 1);
        file.text("general.alignment")
            .u32(4)
            .u32(alignment)
            .data(64);
        corrupt(&mut file, "general.alignment");
    }
    let mut twice = File::new(2, 0);
    twice
        .tensor("a", &[8], 0, 0)
        .tensor("a", &[8], 0, 32)
        .data(4096);
    assert!(matches!(twice.error(), Error::DuplicateTensor { .. }));
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    for (number, name) in [(10, "Q2_K"), (20, "IQ4_NL"), (39, "MXFP4"), (4, "number 4")] {
        let mut file = File::new(1, 0);
        let error = file.tensor("blk.0.x", &[256], number, 0).data(4096).error();
        let line = error.to_string();
        assert!(matches!(error, Error::Unsupported { .. }), "{line}");
        assert!(
            line.contains(name) && line.contains("blk.0.x") && line.contains("Q4_K"),
            "{line}"
        );
    }
    for (version, word) in [
        (1u32, "version 1"),
        (9, "version 9"),
        (3 << 24, "big-endian"),
    ] {
        let mut file = File::new(0, 0);
        file.0[4..8].copy_from_slice(&version.to_le_bytes());
        let line = file.error().to_string();
        assert!(line.contains(word), "{line}");
    }
}

/// Damages files of every type; each is read or rejected with an error.
#[test]
fn mutations_are_read_or_refused() {
    let whole = fs::read(fixture("blocks.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for round in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + next(4) {
            // Faults are placed in the header.
            let at = next(2048);
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff, next(256) as u8][next(6)];
        }
        if round % 4 == 0 {
            bytes.truncate(next(whole.len()).max(1));
        }
        fs::write(&path, &bytes).unwrap();
        match Checkpoint::open(&path) {
            Err(error) => assert!(!error.to_string().contains('\n')),
            Ok(checkpoint) => checkpoint.tensors().for_each(|tensor| _ = tensor.read()),
        }
    }
}
