//! Matrices of a checkpoint in blocks: as they are stored, or rounded while they are read.

use std::borrow::Cow;
use std::ops::Range;

use anyref_ops::blocks::{BlockError, BlockRows, BlockType, Blocks, quantize};

use super::entry::{Source, Stored, TensorEntry};
use crate::error::{Error, Result};
use crate::rounding::{rounded, widened};

/// Matrix of a checkpoint in blocks, whose rows are read from its file when they are fetched.
#[derive(Debug)]
pub struct EntryBlocks<'a> {
    entry: &'a TensorEntry,
    block_type: BlockType,
    columns: usize,
    form: Form<'a>,
}

/// Source of the blocks.
#[derive(Debug)]
enum Form<'a> {
    /// Blocks of a file.
    Stored(&'a Stored),
    /// Floats of a file in rows, which are rounded.
    Floats(&'a Stored),
    /// Blocks in memory, of a tensor that cannot be read in parts.
    Made(Blocks<'static>),
}

impl TensorEntry {
    /// Blocks of a matrix `[rows, columns]`: those stored if they have this format, and otherwise
    /// its values, rounded. Rows of a file are read and rounded when they are fetched.
    ///
    /// # Errors
    /// When the tensor is no matrix with rows of whole blocks, or its values must be rounded to a
    /// format that is not written; also as [`read`](Self::read).
    pub fn in_blocks(&self, block_type: BlockType) -> Result<EntryBlocks<'_>> {
        let fail = |error: BlockError| Error::Blocks {
            tensor: self.name.clone(),
            error,
        };
        let columns = self.shape.last().copied().unwrap_or(0);
        let shape = match *self.shape.as_slice() {
            [rows, columns] if block_type.row_bytes(columns).is_some() => [rows, columns],
            _ => {
                return Err(fail(BlockError::Row {
                    columns,
                    block_type,
                }));
            }
        };
        let is_stored = self.block_type() == Some(block_type);
        if !is_stored {
            // Fails for formats that are not written.
            quantize(&[], block_type).map_err(fail)?;
        }
        let form = match &self.source {
            Source::File(stored) if is_stored => Form::Stored(stored),
            Source::File(stored) if stored.blocks.is_none() && stored.strides.is_none() => {
                Form::Floats(stored)
            }
            Source::Made(tensor, _) if is_stored => {
                let blocks = tensor.fetch_blocks()?;
                Form::Made(blocks.expect("a matrix in blocks"))
            }
            _ => Form::Made(rounded(&self.read()?, block_type, shape).map_err(fail)?),
        };
        Ok(EntryBlocks {
            entry: self,
            block_type,
            columns,
            form,
        })
    }
}

impl BlockRows for EntryBlocks<'_> {
    type Error = Error;

    fn block_type(&self) -> BlockType {
        self.block_type
    }

    fn dims(&self) -> [usize; 2] {
        [self.entry.shape[0], self.columns]
    }

    fn fetch(&self, rows: Range<usize>) -> Result<Cow<'_, [u8]>> {
        Ok(match &self.form {
            Form::Stored(stored) => stored.read_rows(&rows, self.row_bytes())?.into(),
            Form::Floats(stored) => {
                let dtype = self.entry.dtype;
                let values = stored.read_rows(&rows, self.columns * dtype.size())?;
                let values = widened(&values, dtype);
                let blocks = quantize(&values, self.block_type);
                blocks
                    .expect("rows of whole blocks of a written format")
                    .into()
            }
            Form::Made(blocks) => {
                let Ok(blocks) = blocks.fetch(rows);
                blocks
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, OutputTensor, SaveOptions, write_checkpoint};
    use burn::tensor::{DType, TensorData};

    const SHAPE: [usize; 2] = [77, 512];

    fn values() -> Vec<f32> {
        let of = |i: usize| ((i * 7919 % 10007) as f32 / 10007.0 - 0.5) * 0.3;
        (0..SHAPE[0] * SHAPE[1]).map(of).collect()
    }

    /// File of the values in each type of floats.
    fn file(folder: &std::path::Path) -> Checkpoint {
        let tensor = |name: &str, dtype| {
            OutputTensor::new(name, dtype, SHAPE, || Ok(TensorData::new(values(), SHAPE)))
        };
        let mut tensors = vec![
            tensor("f32", DType::F32),
            tensor("f16", DType::F16),
            tensor("bf16", DType::BF16),
        ];
        tensors.push(
            tensor("q8_0", DType::F32)
                .quantized(BlockType::Q8_0)
                .unwrap(),
        );
        let path = folder.join("model.safetensors");
        write_checkpoint(&path, tensors, &SaveOptions::default()).unwrap();
        Checkpoint::open(&path).unwrap()
    }

    /// Whole matrix, read at once, as floats that are rounded.
    fn expected(entry: &TensorEntry, block_type: BlockType) -> Vec<u8> {
        let values: Vec<f32> = entry.read().unwrap().iter::<f32>().collect();
        let blocks = Blocks::quantize(block_type, SHAPE, &values).unwrap();
        blocks.into_bytes()
    }

    #[test]
    fn any_number_of_threads_rounds_to_the_same_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = file(folder.path());
        let made = checkpoint.tensors().map(|entry| {
            let name = format!("made.{}", entry.name);
            OutputTensor::from_entry(name, entry, None)
        });
        let made = Checkpoint::of_tensors("made", made.collect()).unwrap();
        for entry in checkpoint.tensors().chain(made.tensors()) {
            for block_type in [BlockType::Q8_0, BlockType::Q4_0, BlockType::Q4K] {
                let expected = match entry.read_blocks().unwrap() {
                    Some(blocks) if blocks.block_type() == block_type => blocks.into_bytes(),
                    _ => expected(entry, block_type),
                };
                for threads in [1, 2, 5] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                    let blocks = pool.build().unwrap().install(|| {
                        let blocks = entry.in_blocks(block_type).unwrap();
                        assert_eq!((blocks.dims(), blocks.block_type()), (SHAPE, block_type));
                        blocks.collect().unwrap()
                    });
                    assert_eq!(blocks.bytes(), expected, "{} {block_type}", entry.name);
                }
                let blocks = entry.in_blocks(block_type).unwrap();
                let row = blocks.row_bytes();
                let part = blocks.fetch(30..41).unwrap();
                assert_eq!(&*part, &expected[30 * row..41 * row]);
            }
        }
    }

    #[test]
    fn what_cannot_be_in_blocks_is_an_error_of_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensor = |name: &str, shape: &[usize]| {
            let shape = shape.to_vec();
            let count = shape.iter().product::<usize>();
            OutputTensor::new(name, DType::F32, shape.clone(), move || {
                Ok(TensorData::new(vec![0.5f32; count], shape.clone()))
            })
        };
        let tensors = vec![tensor("vector", &[64]), tensor("narrow", &[4, 40])];
        write_checkpoint(&path, tensors, &SaveOptions::default()).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let narrow = checkpoint.require("narrow").unwrap();
        let error = narrow.in_blocks(BlockType::Q8_0).unwrap_err().to_string();
        assert!(error.contains("narrow") && error.contains("40"), "{error}");
        assert!(!error.contains('\n'));
        let vector = checkpoint.require("vector").unwrap();
        assert!(vector.in_blocks(BlockType::Q8_0).is_err());
        let checkpoint = file(folder.path());
        let error = checkpoint.require("f32").unwrap().in_blocks(BlockType::Q6K);
        assert!(error.unwrap_err().to_string().contains("Q6_K"));
    }
}
