//! Forms that the matrices of the encoders' layers are rounded to.

use std::fmt;
use std::str::FromStr;

use anyref_llm::Fitting;
use anyref_ops::blocks::BlockType;
use anyref_ops::nn::LinearWeight;
use burn::tensor::backend::Backend;

use crate::quantization::written_block_type;

/// Form of the matrices of an encoder's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncoderFormat {
    /// Blocks, in memory and in files.
    Blocks(BlockType),
    /// Integers of eight bits with one scale for each output, multiplied with rows of one scale
    /// each: the fastest where there are many rows, made when weights are loaded. Files hold them
    /// as `Q8_0`.
    Int8,
}

/// Name of [`EncoderFormat::Int8`].
const INT8: &str = "int8";

impl EncoderFormat {
    /// Form of rows of `columns` values: the requested one, `Q8_0` in place of formats whose blocks
    /// of 256 do not fit, or `None`, floats, where blocks of 32 do not fit either.
    pub(crate) fn fitting<B: Backend>(self, columns: usize) -> Option<Self> {
        match self {
            Self::Blocks(asked) => Fitting::new(asked, columns).block_type.map(Self::Blocks),
            Self::Int8 => LinearWeight::<B>::fits_int8(columns).then_some(self),
        }
    }

    /// Bytes in memory of a matrix `[rows, columns]`; `None` for rows that do not fit.
    pub(crate) fn bytes(self, [rows, columns]: [usize; 2]) -> Option<usize> {
        match self {
            Self::Blocks(block_type) => Some(rows * block_type.row_bytes(columns)?),
            Self::Int8 => Some(rows * (columns + size_of::<f32>())),
        }
    }

    /// Format of blocks in files; `None` for integers, which are made when weights are loaded.
    pub fn written(self) -> Option<BlockType> {
        match self {
            Self::Blocks(block_type) => Some(block_type),
            Self::Int8 => None,
        }
    }
}

impl From<BlockType> for EncoderFormat {
    fn from(block_type: BlockType) -> Self {
        Self::Blocks(block_type)
    }
}

impl FromStr for EncoderFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name.eq_ignore_ascii_case(INT8) {
            return Ok(Self::Int8);
        }
        let block_type = written_block_type(name).map_err(|error| format!("{error}, or {INT8}"))?;
        Ok(Self::Blocks(block_type))
    }
}

impl fmt::Display for EncoderFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocks(block_type) => block_type.fmt(f),
            Self::Int8 => f.write_str(INT8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_options() {
        assert_eq!("INT8".parse(), Ok(EncoderFormat::Int8));
        assert_eq!("q8_0".parse(), Ok(EncoderFormat::Blocks(BlockType::Q8_0)));
        let error = "int4".parse::<EncoderFormat>().unwrap_err();
        assert!(
            error.contains("int4") && error.ends_with("q4_k, or int8"),
            "{error}"
        );
        assert_eq!(EncoderFormat::Int8.to_string(), "int8");
    }
}
