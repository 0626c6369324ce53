//! Errors of blocks.

use super::block_type::BlockType;

/// Error of a matrix that cannot be stored in blocks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Row length is not a multiple of the block length.
    #[error("rows of {columns} values are no whole blocks of {block_type}, which have {} values", block_type.values())]
    Row {
        /// Values of a row.
        columns: usize,
        /// Format of the blocks.
        block_type: BlockType,
    },
    /// Number of bytes does not match the shape.
    #[error("{found} bytes for {rows} rows of {columns} values of {block_type}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Rows.
        rows: usize,
        /// Values of a row.
        columns: usize,
        /// Format of the blocks.
        block_type: BlockType,
    },
    /// Format is read-only.
    #[error("{0} is read but not written; quantise to Q8_0, Q4_0 or Q4_K")]
    NotWritten(BlockType),
}
