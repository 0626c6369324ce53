//! Learning rate over the steps of a stage.

use serde::{Deserialize, Serialize};

/// Decay of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Linear decay to zero, as in the paper.
    #[default]
    Linear,
    /// Half a cosine to zero.
    Cosine,
    /// No decay.
    Constant,
}

/// Linear warm-up followed by [`Decay`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Total number of steps.
    pub steps: u64,
    /// Decay after the warm-up.
    pub decay: Decay,
}

impl Schedule {
    /// Learning rate of `step`, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let rest = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / rest).min(1.0);
        self.learning_rate
            * match self.decay {
                Decay::Linear => 1.0 - done,
                Decay::Cosine => 0.5 * (1.0 + (core::f64::consts::PI * done).cos()),
                Decay::Constant => 1.0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_and_falls_to_zero() {
        for decay in [Decay::Linear, Decay::Cosine] {
            let schedule = Schedule {
                learning_rate: 2.0,
                warmup: 4,
                steps: 12,
                decay,
            };
            assert_eq!(schedule.at(0), 0.5);
            assert_eq!(schedule.at(3), 2.0);
            assert_eq!(schedule.at(4), 2.0);
            assert!((schedule.at(8) - 1.0).abs() < 1e-12);
            assert!(schedule.at(12).abs() < 1e-12);
            assert!((4..12).all(|step| schedule.at(step + 1) < schedule.at(step)));
        }
    }
}
