//! Rows of a checkpoint's tensor as a tensor of their own.

use std::ops::Range;

use anyref_ops::blocks::{BlockRows, Blocks};
use burn::tensor::{DType, TensorData};

use super::entry::{Source, TensorEntry};
use crate::error::Result;
use crate::output_tensor::OutputTensor;

impl OutputTensor {
    /// Creates a tensor of some rows of a checkpoint's tensor, one range after the other, in its
    /// type or its blocks. Only these rows are read from a file, when the tensor is fetched.
    ///
    /// # Panics
    /// When a range ends after the last row, or the tensor has no dimensions.
    pub fn of_rows(
        name: impl Into<String>,
        entry: &TensorEntry,
        ranges: Vec<Range<usize>>,
    ) -> Self {
        let mut shape = entry.shape.clone();
        assert!(
            ranges.iter().all(|range| range.end <= shape[0]),
            "rows of a tensor of {} rows",
            shape[0]
        );
        shape[0] = ranges.iter().map(|range| range.len()).sum();
        let entry = entry.clone();
        if let (Some(block), &[rows, columns]) = (entry.block_type(), shape.as_slice()) {
            return Self::of_blocks(name, block, [rows, columns], move || {
                let stored = entry.in_blocks(block)?;
                let mut bytes = Vec::with_capacity(rows * stored.row_bytes());
                for range in &ranges {
                    bytes.extend_from_slice(&stored.fetch(range.clone())?);
                }
                let blocks = Blocks::new(block, [rows, columns], bytes);
                Ok(blocks.expect("as many bytes as the rows take"))
            });
        }
        Self::new(name, entry.dtype, shape.clone(), move || {
            let bytes = entry.read_rows(&ranges)?;
            Ok(TensorData::from_bytes_vec(
                bytes,
                shape.clone(),
                entry.dtype,
            ))
        })
    }
}

impl TensorEntry {
    /// Reads the bytes of some rows, one range after the other.
    fn read_rows(&self, ranges: &[Range<usize>]) -> Result<Vec<u8>> {
        let row = self.shape[1..].iter().product::<usize>() * self.dtype.size();
        let mut bytes = Vec::with_capacity(ranges.iter().map(|range| range.len() * row).sum());
        match &self.source {
            Source::File(stored)
                if stored.strides.is_none()
                    && stored.blocks.is_none()
                    && !matches!(self.dtype, DType::Bool(_)) =>
            {
                for range in ranges {
                    bytes.extend(stored.read_rows(range, row)?);
                }
            }
            _ => {
                let all = self.read_bytes()?;
                for range in ranges {
                    bytes.extend_from_slice(&all[range.start * row..range.end * row]);
                }
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use anyref_ops::blocks::BlockType;

    use super::*;
    use crate::{Checkpoint, SaveOptions, write_checkpoint};

    const SHAPE: [usize; 2] = [6, 32];

    fn matrix(name: &str, dtype: DType) -> OutputTensor {
        OutputTensor::new(name, dtype, SHAPE, || {
            let values: Vec<f32> = (0..6 * 32).map(|i| i as f32 * 0.25 - 20.0).collect();
            Ok(TensorData::new(values, SHAPE))
        })
    }

    #[test]
    fn rows_are_read_in_the_type_and_the_blocks_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors = vec![
            matrix("f32", DType::F32),
            matrix("bf16", DType::BF16),
            matrix("q8_0", DType::F32)
                .quantized(BlockType::Q8_0)
                .unwrap(),
            OutputTensor::new("vector", DType::F32, [6], || {
                Ok(TensorData::new(vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0], [6]))
            }),
        ];
        write_checkpoint(&path, tensors, &SaveOptions::default()).unwrap();
        let file = Checkpoint::open(&path).unwrap();
        // The same tensors once more, computed.
        let made = file
            .tensors()
            .map(|entry| OutputTensor::from_entry(entry.name.clone(), entry, None));
        let made = Checkpoint::of_tensors("made", made.collect()).unwrap();
        for checkpoint in [&file, &made] {
            for entry in checkpoint.tensors() {
                let chosen = OutputTensor::of_rows("rows", entry, vec![4..6, 1..2]);
                let rows = Checkpoint::of_tensors("rows", vec![chosen]).unwrap();
                let rows = rows.require("rows").unwrap();
                assert_eq!(
                    (rows.dtype, rows.block_type(), rows.shape[0]),
                    (entry.dtype, entry.block_type(), 3),
                    "{}",
                    entry.name
                );
                let all: Vec<f32> = entry.read().unwrap().iter::<f32>().collect();
                let width = all.len() / 6;
                let expected = [&all[4 * width..], &all[width..2 * width]].concat();
                let found: Vec<f32> = rows.read().unwrap().iter::<f32>().collect();
                assert_eq!(found, expected, "{}", entry.name);
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows of a tensor of 6 rows")]
    fn rows_after_the_last_are_a_fault_of_the_caller() {
        let whole = Checkpoint::of_tensors("made", vec![matrix("a", DType::F32)]).unwrap();
        let _ = OutputTensor::of_rows("b", whole.require("a").unwrap(), vec![5..7, 0..1]);
    }
}
