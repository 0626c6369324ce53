//! Formats of blocks.

use core::fmt;

/// Format of blocks, named as in `ggml_type`. Sizes follow ggml's `ggml-common.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockType {
    /// 32 values `d · (q - 8)`, `q` of four bits.
    Q4_0,
    /// 32 values `d · q + m`, `q` of four bits.
    Q4_1,
    /// 32 values `d · (q - 16)`, `q` of five bits.
    Q5_0,
    /// 32 values `d · q + m`, `q` of five bits.
    Q5_1,
    /// 32 values `d · q`, `q` of eight bits with a sign.
    Q8_0,
    /// 8 times 32 values `d · scale · q - dmin · min`, `q` of four bits, scales of six.
    Q4K,
    /// 8 times 32 values `d · scale · q - dmin · min`, `q` of five bits, scales of six.
    Q5K,
    /// 16 times 16 values `d · scale · (q - 32)`, `q` of six bits, scales of eight.
    Q6K,
}

impl BlockType {
    /// All formats.
    pub const ALL: [Self; 8] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Values of a block.
    pub const fn values(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of values, or `None` when the row is not a whole number of blocks.
    pub fn row_bytes(self, values: usize) -> Option<usize> {
        let whole = values.is_multiple_of(self.values());
        whole.then(|| (values / self.values()).checked_mul(self.bytes()))?
    }

    /// Format by ggml's name, in upper or lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = |block: &Self| block.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named)
    }

    /// Name in ggml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }
}

impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rows() {
        for block in BlockType::ALL {
            assert_eq!(BlockType::from_name(block.name()), Some(block));
            let [values, bytes] = [block.values(), block.bytes()];
            assert_eq!(block.row_bytes(3 * values), Some(3 * bytes));
            assert_eq!(block.row_bytes(values + 1), None);
        }
        assert_eq!(BlockType::from_name("q4_k"), Some(BlockType::Q4K));
        assert_eq!(BlockType::from_name("Q2_K"), None);
    }
}
