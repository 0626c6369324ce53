//! Type of weights in memory.

use core::fmt;
use core::str::FromStr;

use burn::tensor::DType;

/// Type of a model's weights in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightType {
    /// Type of the file where activations may have another type than weights; f32 elsewhere.
    #[default]
    Auto,
    /// 32-bit float.
    F32,
    /// 16-bit float with a fraction of 10 bits.
    F16,
    /// 16-bit float with the range of f32.
    Bf16,
}

impl WeightType {
    /// All variants.
    pub const ALL: [Self; 4] = [Self::Auto, Self::F32, Self::F16, Self::Bf16];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Type of every weight; `None` if each keeps its own.
    pub fn fixed(self) -> Option<DType> {
        (self != Self::Auto).then(|| self.of(DType::F32))
    }

    /// Type in memory of a weight that the file stores as `stored`.
    pub fn of(self, stored: DType) -> DType {
        match (self, stored) {
            (Self::Auto, DType::F16) | (Self::F16, _) => DType::F16,
            (Self::Auto, DType::BF16) | (Self::Bf16, _) => DType::BF16,
            _ => DType::F32,
        }
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for WeightType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|dtype| dtype.name() == name)
            .ok_or_else(|| format!("there is no weight type {name:?}: use auto, f32, f16 or bf16"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for dtype in WeightType::ALL {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
        }
        let error = "fp8".parse::<WeightType>().unwrap_err();
        assert!(error.contains("\"fp8\""), "{error}");
    }

    #[test]
    fn auto_keeps_halves_and_nothing_else() {
        let found =
            [DType::F16, DType::BF16, DType::F32, DType::F64].map(|d| WeightType::Auto.of(d));
        assert_eq!(found, [DType::F16, DType::BF16, DType::F32, DType::F32]);
        assert_eq!(WeightType::Auto.fixed(), None);
        assert_eq!(WeightType::F16.fixed(), Some(DType::F16));
        assert_eq!(WeightType::Bf16.of(DType::F32), DType::BF16);
        assert_eq!(WeightType::F32.of(DType::F16), DType::F32);
    }
}
