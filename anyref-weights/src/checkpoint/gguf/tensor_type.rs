//! Types of tensors in GGUF files.

use anyref_ops::blocks::BlockType;
use burn::tensor::DType;

/// Supported type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TensorType {
    Plain(DType),
    Blocks(BlockType),
}

impl TensorType {
    /// Looks up a type by its number in `ggml_type`; the error is the name of an unsupported type.
    pub(super) fn from_number(number: u32) -> Result<Self, String> {
        Ok(match number {
            0 => Self::Plain(DType::F32),
            1 => Self::Plain(DType::F16),
            2 => Self::Blocks(BlockType::Q4_0),
            3 => Self::Blocks(BlockType::Q4_1),
            6 => Self::Blocks(BlockType::Q5_0),
            7 => Self::Blocks(BlockType::Q5_1),
            8 => Self::Blocks(BlockType::Q8_0),
            12 => Self::Blocks(BlockType::Q4K),
            13 => Self::Blocks(BlockType::Q5K),
            14 => Self::Blocks(BlockType::Q6K),
            24 => Self::Plain(DType::I8),
            25 => Self::Plain(DType::I16),
            26 => Self::Plain(DType::I32),
            27 => Self::Plain(DType::I64),
            28 => Self::Plain(DType::F64),
            30 => Self::Plain(DType::BF16),
            other => return Err(name(other)),
        })
    }

    /// Size in bytes of a tensor of shape `dims`, in file order; `None` if rows are not whole
    /// blocks or the size overflows.
    pub(super) fn bytes(self, dims: &[u64]) -> Option<u64> {
        let (&columns, rest) = dims.split_first()?;
        let row = match self {
            Self::Plain(dtype) => columns.checked_mul(dtype.size() as u64)?,
            Self::Blocks(block) => block.row_bytes(usize::try_from(columns).ok()?)? as u64,
        };
        rest.iter().try_fold(row, |bytes, &n| bytes.checked_mul(n))
    }
}

/// Name of an unsupported type.
fn name(number: u32) -> String {
    let known = match number {
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        40 => "NVFP4",
        other => return format!("of number {other}"),
    };
    known.into()
}
