//! Matrices in blocks in safetensors files: writing, reading, and rejection of damaged ones.

use std::fs;
use std::path::Path;

use anyref_ops::blocks::{BlockType, Blocks};
use anyref_weights::{Checkpoint, OutputTensor, SaveOptions, write_checkpoint};
use burn::tensor::{DType, TensorData};

fn values(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 37) % 101) as f32 * 0.01 - 0.5)
        .collect()
}

fn matrix(name: &str, shape: [usize; 2]) -> OutputTensor {
    OutputTensor::new(name, DType::F32, shape, move || {
        Ok(TensorData::new(values(shape[0] * shape[1]), shape))
    })
}

fn tensors() -> Vec<OutputTensor> {
    vec![
        matrix("a", [3, 64]).quantized(BlockType::Q8_0).unwrap(),
        matrix("b", [5, 256]).quantized(BlockType::Q4K).unwrap(),
        matrix("c", [2, 32]).quantized(BlockType::Q4_0).unwrap(),
        matrix("plain", [2, 3]),
    ]
}

#[test]
fn blocks_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    // One file, and one file for each tensor.
    for most in [None, Some(200)] {
        let path = folder
            .path()
            .join(format!("{}.safetensors", most.is_some()));
        let options = SaveOptions {
            max_shard_bytes: most,
            ..SaveOptions::default()
        };
        let path = write_checkpoint(&path, tensors(), &options).unwrap();
        let checkpoint = Checkpoint::open(path).unwrap();
        for (name, block_type, shape) in [
            ("a", BlockType::Q8_0, [3, 64]),
            ("b", BlockType::Q4K, [5, 256]),
            ("c", BlockType::Q4_0, [2, 32]),
        ] {
            let entry = checkpoint.require(name).unwrap();
            assert_eq!(entry.block_type(), Some(block_type));
            assert_eq!((entry.dtype, &entry.shape[..]), (DType::F32, &shape[..]));
            let expected =
                Blocks::quantize(block_type, shape, &values(shape[0] * shape[1])).unwrap();
            assert_eq!(entry.stored_bytes(), expected.bytes().len());
            let found = entry.read_blocks().unwrap().unwrap();
            assert_eq!(found.bytes(), expected.bytes());
            let floats = entry.read().unwrap().to_vec::<f32>().unwrap();
            assert_eq!(floats, expected.dequantize());
        }
        let plain = checkpoint.require("plain").unwrap();
        assert_eq!(plain.block_type(), None);
        assert_eq!(plain.read().unwrap().to_vec::<f32>().unwrap(), values(6));
        // Copied, and copied under another type.
        let entry = checkpoint.require("b").unwrap();
        let copy = OutputTensor::from_entry("b", entry, None);
        assert_eq!(copy.block_type(), Some(BlockType::Q4K));
        let half = OutputTensor::from_entry("b", entry, Some(DType::BF16));
        assert_eq!((half.block_type(), half.bytes()), (None, 2 * 5 * 256));
        // Checkpoint without a file.
        let made = Checkpoint::of_tensors("made", vec![copy]).unwrap();
        let made = made.require("b").unwrap();
        assert_eq!(made.read().unwrap(), entry.read().unwrap());
        assert_eq!(made.block_type(), entry.block_type());
    }
}

#[test]
fn rows_of_no_whole_blocks_are_no_blocks() {
    for (shape, block_type) in [([2, 48], BlockType::Q8_0), ([2, 128], BlockType::Q4K)] {
        assert!(matrix("a", shape).quantized(block_type).is_err());
    }
    assert!(matrix("a", [2, 256]).quantized(BlockType::Q6K).is_err());
}

/// Copies a file with a replacement of equal length in its header.
fn changed(path: &Path, from: &str, to: &str) -> String {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(path).unwrap();
    let found = bytes
        .windows(from.len())
        .position(|part| part == from.as_bytes());
    let first = found.unwrap_or_else(|| panic!("no {from}"));
    bytes[first..][..to.len()].copy_from_slice(to.as_bytes());
    let copy = path.with_file_name("changed.safetensors");
    fs::write(&copy, bytes).unwrap();
    Checkpoint::open(&copy).unwrap_err().to_string()
}

#[test]
fn damaged_blocks_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_checkpoint(&path, tensors(), &SaveOptions::default()).unwrap();
    for (from, to, words) in [
        (r#""Q4_K""#, r#""Q9_K""#, "`Q9_K`"),
        (r#""Q4_K""#, r#""Q6_K""#, "no rows of whole blocks"),
        ("ggml_type.a", "ggml_type.x", "not there"),
    ] {
        let message = changed(&path, from, to);
        assert!(message.contains(words), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.contains("changed.safetensors"), "{message}");
    }
}
