//! Matrix of blocks.

use std::borrow::Cow;

use rayon::prelude::*;

use super::block_type::BlockType;
use super::dequantize::dequantize;
use super::error::BlockError;
use super::quantize::quantize;

/// Matrix of blocks in row-major order, as GGUF files store the weight of a linear layer: one row
/// holds the inputs of one output.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    block_type: BlockType,
    rows: usize,
    columns: usize,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Blocks<'a> {
    /// Creates a matrix from the bytes of its blocks, row by row.
    ///
    /// # Errors
    /// When a row does not divide into whole blocks, or the bytes are more or fewer than those of
    /// all rows.
    pub fn new(
        block_type: BlockType,
        [rows, columns]: [usize; 2],
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Self, BlockError> {
        let bytes = bytes.into();
        let error = BlockError::Row {
            columns,
            block_type,
        };
        let row = block_type.row_bytes(columns).ok_or(error)?;
        match row.checked_mul(rows) == Some(bytes.len()) {
            true => Ok(Self {
                block_type,
                rows,
                columns,
                bytes,
            }),
            false => Err(BlockError::Length {
                found: bytes.len(),
                rows,
                columns,
                block_type,
            }),
        }
    }

    /// Rounds a matrix to blocks.
    ///
    /// # Shapes
    /// - values: `[rows, columns]`
    ///
    /// # Errors
    /// When rows are no whole blocks, there are not as many values, or the format is not
    /// [written](quantize).
    pub fn quantize(
        block_type: BlockType,
        [rows, columns]: [usize; 2],
        values: &[f32],
    ) -> Result<Blocks<'static>, BlockError> {
        let row = block_type.row_bytes(columns).ok_or(BlockError::Row {
            columns,
            block_type,
        })?;
        if values.len() != rows * columns {
            return Err(BlockError::Length {
                found: 4 * values.len(),
                rows,
                columns,
                block_type,
            });
        }
        let parts: Result<Vec<Vec<u8>>, _> = (values.par_chunks(columns.max(1)))
            .map(|values| quantize(values, block_type))
            .collect();
        let mut bytes = Vec::with_capacity(rows * row);
        parts?.iter().for_each(|part| bytes.extend_from_slice(part));
        Blocks::new(block_type, [rows, columns], bytes)
    }

    /// Format of the blocks.
    pub fn block_type(&self) -> BlockType {
        self.block_type
    }

    /// Shape, `[rows, columns]`.
    pub fn dims(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Blocks of all rows.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Blocks of all rows, without a copy if they are owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_owned()
    }

    /// Blocks of one row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, index: usize) -> &[u8] {
        let length = self.bytes.len() / self.rows.max(1);
        &self.bytes[index * length..][..length]
    }

    /// Copies the matrix with its rows reordered: row `i` of the result is row `order(i)`.
    ///
    /// # Panics
    /// When `order` names a row that is not there.
    pub fn with_rows(&self, order: impl Fn(usize) -> usize) -> Blocks<'static> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        (0..self.rows).for_each(|row| bytes.extend_from_slice(self.row(order(row))));
        Blocks {
            bytes: Cow::Owned(bytes),
            ..*self
        }
    }

    /// Dequantizes all values to `[rows, columns]`.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.columns];
        let rows = values.par_chunks_mut(self.columns.max(1)).enumerate();
        rows.for_each(|(row, values)| dequantize(self.block_type, self.row(row), values));
        values
    }
}
