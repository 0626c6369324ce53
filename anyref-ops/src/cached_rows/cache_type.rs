//! Types that keys and values are kept in.

use core::fmt;
use core::str::FromStr;

use burn::tensor::DType;

use super::q8_0::{BLOCK, SCALE_BYTES};

/// Type that a cache keeps keys and values in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CacheType {
    /// As they are computed: f32 on the processor.
    #[default]
    F32,
    /// 16 bits, of which 10 are the fraction.
    F16,
    /// 16 bits with the range of f32.
    Bf16,
    /// Blocks of 32 values of eight bits with one scale, as GGML's `Q8_0`: 8.5 bits a value.
    Q8_0,
}

impl CacheType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0];

    /// Name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// Type of floats that are kept; none of those that are kept as they are computed, or in
    /// blocks.
    pub fn half(self) -> Option<DType> {
        match self {
            Self::F16 => Some(DType::F16),
            Self::Bf16 => Some(DType::BF16),
            Self::F32 | Self::Q8_0 => None,
        }
    }

    /// Returns whether rows of `width` values can be kept in this type: blocks have to be whole.
    pub fn holds(self, width: usize) -> bool {
        self != Self::Q8_0 || width.is_multiple_of(BLOCK)
    }

    /// Bytes of a number of values, whole blocks of them, that are computed in `computed`.
    pub fn bytes(self, values: u64, computed: DType) -> u64 {
        match self {
            Self::F32 => values * computed.size() as u64,
            Self::F16 | Self::Bf16 => values * 2,
            Self::Q8_0 => values + values / BLOCK as u64 * SCALE_BYTES,
        }
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for CacheType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|cache| cache.name() == name)
            .ok_or_else(|| format!("there is no cache type {name:?}: use f32, f16, bf16 or q8_0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for cache in CacheType::ALL {
            assert_eq!(cache.to_string().parse(), Ok(cache));
        }
        let error = "q4_0".parse::<CacheType>().unwrap_err();
        assert!(error.contains("\"q4_0\""), "{error}");
    }

    #[test]
    fn bytes_are_those_of_the_type() {
        let bytes = CacheType::ALL.map(|cache| cache.bytes(64, DType::F32));
        assert_eq!(bytes, [256, 128, 128, 68]);
        assert_eq!(CacheType::F32.bytes(64, DType::F16), 128);
        assert_eq!(
            CacheType::ALL.map(|cache| cache.holds(48)),
            [true, true, true, false]
        );
    }
}
