//! Loss scaling, so that small gradients do not underflow in f16.

use serde::{Deserialize, Serialize};

use crate::config::Precision;

/// Number of consecutive finite gradients before the scale is doubled.
const GROWTH_INTERVAL: u32 = 2000;

/// Dynamic loss scale: halved when a gradient is not finite, doubled after many finite ones, as in
/// PyTorch's `GradScaler`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// Scale of the loss, a power of two.
    pub factor: f64,
    /// Number of consecutive finite gradients.
    pub finite: u32,
}

impl LossScale {
    /// Initial scale of a stage, for data types that need one.
    pub(super) fn of(precision: Precision) -> Option<Self> {
        (precision == Precision::F16).then_some(Self {
            factor: 65536.0,
            finite: 0,
        })
    }

    /// Scale after a step.
    pub(super) fn after(self, finite: bool) -> Self {
        match finite {
            false => Self {
                factor: (self.factor / 2.0).max(1.0),
                finite: 0,
            },
            true if self.finite + 1 >= GROWTH_INTERVAL => Self {
                factor: (self.factor * 2.0).min(2.0f64.powi(24)),
                finite: 0,
            },
            true => Self {
                finite: self.finite + 1,
                ..self
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_follows_what_is_finite() {
        let first = LossScale::of(Precision::F16).unwrap();
        let halved = first.after(false);
        assert_eq!(halved.factor, first.factor / 2.0);
        let mut scale = halved;
        for _ in 0..GROWTH_INTERVAL {
            assert_eq!(scale.factor, halved.factor);
            scale = scale.after(true);
        }
        assert_eq!(scale.factor, first.factor);
        let least = (0..60).fold(scale, |scale, _| scale.after(false));
        assert_eq!(least.factor, 1.0);
        assert_eq!(LossScale::of(Precision::Bf16), None);
        assert_eq!(LossScale::of(Precision::F32), None);
    }
}
