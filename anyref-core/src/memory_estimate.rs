//! Memory of a whole model, and the error when it is lacking.

use std::fmt;

use anyref_weights::{WeightMemory, WeightType};

/// Estimate of a model's memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Memory of the weights.
    pub weights: WeightMemory,
    /// Approximate memory of keys, values and activations for one question about one picture.
    pub answering: u64,
}

impl MemoryEstimate {
    /// Total bytes.
    pub fn total(&self) -> u64 {
        self.weights.total() + self.answering
    }
}

impl fmt::Display for MemoryEstimate {
    /// Formats as `16.4 GB: 15.6 GB of weights (14.2 GB of them where they lie in their file), 0.8
    /// GB for an answer`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, weights) = (Gigabytes(self.total()), Gigabytes(self.weights.total()));
        write!(f, "{total}: {weights} of weights")?;
        if self.weights.mapped > 0 {
            let mapped = Gigabytes(self.weights.mapped);
            write!(f, " ({mapped} of them where they lie in their file)")?;
        }
        write!(f, ", {} for an answer", Gigabytes(self.answering))
    }
}

/// Bytes, displayed in gigabytes of 10⁹, with two decimals below one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gigabytes(pub u64);

impl fmt::Display for Gigabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = self.0 as f64 / 1e9;
        match gigabytes < 1.0 {
            true => write!(f, "{gigabytes:.2} GB"),
            false => write!(f, "{gigabytes:.1} GB"),
        }
    }
}

/// Error of a model that takes more memory than is free.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model needs {estimate}; {} is free: {}", Gigabytes(*.free), self.remedy())]
pub struct MemoryShortage {
    /// Estimated memory of the model.
    pub estimate: MemoryEstimate,
    /// Free bytes.
    pub free: u64,
    /// Type of the weights with which the model would fit, and its bytes then.
    pub smaller_type: Option<(WeightType, u64)>,
    /// Location of the largest known model that would fit, and its bytes.
    pub smaller_model: Option<(&'static str, u64)>,
}

impl MemoryShortage {
    fn remedy(&self) -> String {
        let smaller = match (self.smaller_type, self.smaller_model) {
            (Some((dtype, bytes)), _) => {
                format!("use --dtype {dtype} ({})", Gigabytes(bytes))
            }
            (None, Some((location, bytes))) => format!(
                "use a smaller model such as --model {} ({}; `anyref models` lists others)",
                location,
                Gigabytes(bytes)
            ),
            (None, None) => "use a smaller model (`anyref models` lists some)".to_owned(),
        };
        format!("{smaller}, free some, or load it all the same with --ignore-memory")
    }
}
