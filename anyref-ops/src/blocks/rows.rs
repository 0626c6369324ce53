//! Matrices in blocks of which some rows are had at a time.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;

use rayon::prelude::*;

use super::block_type::BlockType;
use super::matrix::Blocks;

/// Bytes of the rows that are fetched at once, which stay in a core's cache while they are used.
pub(crate) const PART: usize = 256 * 1024;

/// Matrix in blocks, `[rows, columns]`, whose rows are fetched while they are used, by several
/// threads: [`Blocks`] in memory, or a source that reads or computes them, of which the whole is
/// then never in memory.
pub trait BlockRows: Sync {
    /// Reason for which rows cannot be fetched.
    type Error: Send;

    /// Format of the blocks.
    fn block_type(&self) -> BlockType;

    /// `[rows, columns]`; rows are whole blocks.
    fn dims(&self) -> [usize; 2];

    /// Fetches the blocks of some rows, one row after another.
    ///
    /// # Errors
    /// When they cannot be read.
    ///
    /// # Panics
    /// When a row is out of range.
    fn fetch(&self, rows: Range<usize>) -> Result<Cow<'_, [u8]>, Self::Error>;

    /// Bytes of a row.
    fn row_bytes(&self) -> usize {
        let [_, columns] = self.dims();
        let bytes = self.block_type().row_bytes(columns);
        bytes.expect("rows are whole blocks")
    }

    /// Fetches all rows.
    ///
    /// # Errors
    /// When they cannot be read.
    fn collect(&self) -> Result<Blocks<'static>, Self::Error> {
        let ([rows, columns], row) = (self.dims(), self.row_bytes());
        let mut bytes = vec![0u8; rows * row];
        let together = (PART / row.max(1)).max(1);
        let parts = bytes.par_chunks_mut((together * row).max(1)).enumerate();
        parts.try_for_each(|(part, bytes)| {
            let first = part * together;
            let fetched = self.fetch(first..rows.min(first + together))?;
            bytes.copy_from_slice(&fetched);
            Ok::<(), Self::Error>(())
        })?;
        let blocks = Blocks::new(self.block_type(), [rows, columns], bytes);
        Ok(blocks.expect("as many bytes as rows have"))
    }
}

impl BlockRows for Blocks<'_> {
    type Error = Infallible;

    fn block_type(&self) -> BlockType {
        Blocks::block_type(self)
    }

    fn dims(&self) -> [usize; 2] {
        Blocks::dims(self)
    }

    fn fetch(&self, rows: Range<usize>) -> Result<Cow<'_, [u8]>, Infallible> {
        let row = self.row_bytes();
        Ok(self.bytes()[rows.start * row..rows.end * row].into())
    }
}

impl<R: BlockRows + ?Sized> BlockRows for &R {
    type Error = R::Error;

    fn block_type(&self) -> BlockType {
        R::block_type(self)
    }

    fn dims(&self) -> [usize; 2] {
        R::dims(self)
    }

    fn fetch(&self, rows: Range<usize>) -> Result<Cow<'_, [u8]>, Self::Error> {
        R::fetch(self, rows)
    }
}

/// Matrix with its rows reordered within groups of equal size.
#[derive(Debug, Clone, Copy)]
pub struct ReorderedRows<R, F> {
    source: R,
    group: usize,
    order: F,
}

impl<R: BlockRows, F: Fn(usize) -> usize + Sync> ReorderedRows<R, F> {
    /// Reorders rows: row `i` of the result is row `order(i)` of `source`, of the same group of
    /// `group` rows.
    ///
    /// # Panics
    /// When the rows are no whole groups.
    pub fn new(source: R, group: usize, order: F) -> Self {
        assert!(source.dims()[0].is_multiple_of(group), "whole groups");
        Self {
            source,
            group,
            order,
        }
    }
}

impl<R: BlockRows, F: Fn(usize) -> usize + Sync> BlockRows for ReorderedRows<R, F> {
    type Error = R::Error;

    fn block_type(&self) -> BlockType {
        self.source.block_type()
    }

    fn dims(&self) -> [usize; 2] {
        self.source.dims()
    }

    fn fetch(&self, rows: Range<usize>) -> Result<Cow<'_, [u8]>, Self::Error> {
        let first = rows.start - rows.start % self.group;
        let fetched = self
            .source
            .fetch(first..rows.end.next_multiple_of(self.group))?;
        let length = self.row_bytes();
        let mut bytes = Vec::with_capacity(rows.len() * length);
        for row in rows {
            let at = ((self.order)(row) - first) * length;
            bytes.extend_from_slice(&fetched[at..][..length]);
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_reordered_rows_are_those_of_the_whole() {
        let values: Vec<f32> = (0..24 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
        let blocks = Blocks::quantize(BlockType::Q8_0, [24, 64], &values).unwrap();
        // Each group of six reversed.
        let order = |row: usize| row - row % 6 + (5 - row % 6);
        let reordered = ReorderedRows::new(&blocks, 6, order);
        let expected = blocks.with_rows(order);
        let Ok(whole) = reordered.collect();
        assert_eq!(whole.bytes(), expected.bytes());
        for rows in [0..24, 0..1, 5..7, 7..11, 6..12, 23..24, 4..4] {
            let Ok(part) = reordered.fetch(rows.clone());
            let row = reordered.row_bytes();
            assert_eq!(&*part, &expected.bytes()[rows.start * row..rows.end * row]);
        }
    }
}
