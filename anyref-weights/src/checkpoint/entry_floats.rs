//! Matrices of a checkpoint as floats, read some rows at a time.

use std::borrow::Cow;
use std::ops::Range;

use anyref_ops::blocks::{BlockType, dequantize};

use super::entry::{Source, Stored, TensorEntry};
use crate::error::Result;
use crate::rounding::widened;

/// Matrix of a checkpoint, whose rows are read from its file and widened to f32 when they are
/// fetched.
#[derive(Debug)]
pub struct EntryFloats<'a> {
    entry: &'a TensorEntry,
    columns: usize,
    form: Form<'a>,
}

/// Source of the values.
#[derive(Debug)]
enum Form<'a> {
    /// Floats of a file in rows.
    Floats(&'a Stored),
    /// Blocks of a file.
    Blocks(&'a Stored, BlockType),
    /// Values in memory, of a tensor that cannot be read in parts.
    Read(Vec<f32>),
}

impl TensorEntry {
    /// Values of a matrix `[rows, columns]` as f32; `None` for a tensor that is no matrix of
    /// floats.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn in_floats(&self) -> Result<Option<EntryFloats<'_>>> {
        let &[_, columns] = self.shape.as_slice() else {
            return Ok(None);
        };
        if !self.dtype.is_float() {
            return Ok(None);
        }
        let form = match &self.source {
            Source::File(stored) if stored.strides.is_none() => match stored.blocks {
                Some(block_type) => Form::Blocks(stored, block_type),
                None => Form::Floats(stored),
            },
            _ => Form::Read(self.read()?.iter::<f32>().collect()),
        };
        Ok(Some(EntryFloats {
            entry: self,
            columns,
            form,
        }))
    }
}

impl EntryFloats<'_> {
    /// Shape, `[rows, columns]`.
    pub fn dims(&self) -> [usize; 2] {
        [self.entry.shape[0], self.columns]
    }

    /// Fetches the values of some rows, one row after another.
    ///
    /// # Errors
    /// When they cannot be read.
    ///
    /// # Panics
    /// When a row is out of range.
    pub fn fetch(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>> {
        assert!(rows.end <= self.entry.shape[0], "{rows:?}");
        Ok(match &self.form {
            Form::Floats(stored) => {
                let dtype = self.entry.dtype;
                let bytes = stored.read_rows(&rows, self.columns * dtype.size())?;
                widened(&bytes, dtype).into()
            }
            Form::Blocks(stored, block_type) => {
                let row = block_type.row_bytes(self.columns);
                let row = row.expect("rows of a matrix in blocks are whole");
                let mut values = vec![0.0; rows.len() * self.columns];
                dequantize(*block_type, &stored.read_rows(&rows, row)?, &mut values);
                values.into()
            }
            Form::Read(values) => {
                let of = |row: usize| row * self.columns;
                values[of(rows.start)..of(rows.end)].into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, TensorData};

    use super::*;
    use crate::{Checkpoint, OutputTensor, SaveOptions, write_checkpoint};

    const SHAPE: [usize; 2] = [37, 64];

    fn matrix(name: &str, dtype: DType) -> OutputTensor {
        OutputTensor::new(name, dtype, SHAPE, || {
            let values: Vec<f32> = (0..37 * 64).map(|i| i as f32 * 0.01 - 9.0).collect();
            Ok(TensorData::new(values, SHAPE))
        })
    }

    #[test]
    fn rows_are_those_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors = vec![
            matrix("f32", DType::F32),
            matrix("f16", DType::F16),
            matrix("bf16", DType::BF16),
            matrix("q8_0", DType::F32)
                .quantized(BlockType::Q8_0)
                .unwrap(),
            OutputTensor::new("vector", DType::F32, [2], || {
                Ok(TensorData::new(vec![0.0f32, 1.0], [2]))
            }),
        ];
        write_checkpoint(&path, tensors, &SaveOptions::default()).unwrap();
        let file = Checkpoint::open(&path).unwrap();
        let made = file
            .tensors()
            .map(|entry| OutputTensor::from_entry(entry.name.clone(), entry, None));
        let made = Checkpoint::of_tensors("made", made.collect()).unwrap();
        for entry in file.tensors().chain(made.tensors()) {
            let Some(floats) = entry.in_floats().unwrap() else {
                assert_eq!(entry.name, "vector");
                continue;
            };
            assert_eq!(floats.dims(), SHAPE);
            let all: Vec<f32> = entry.read().unwrap().iter::<f32>().collect();
            for rows in [0..37, 0..1, 5..32, 36..37, 4..4] {
                let found = floats.fetch(rows.clone()).unwrap();
                assert_eq!(
                    *found,
                    all[rows.start * 64..rows.end * 64],
                    "{}",
                    entry.name
                );
            }
        }
    }
}
