//! Start positions of the clips of a sound.

/// Sizes that determine the clips' positions, all in samples of one rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClipPlan {
    /// Length of the sound.
    pub samples: usize,
    /// Length of a clip.
    pub clip: usize,
    /// Number of clips.
    pub count: usize,
}

impl ClipPlan {
    /// Evenly spaced starts, with the first clip at the start of the sound and the last at its end.
    /// All are 0 if the sound is shorter than a clip.
    pub fn starts(&self) -> Vec<usize> {
        let spare = self.samples.saturating_sub(self.clip);
        let gaps = self.count.saturating_sub(1).max(1);
        (0..self.count).map(|i| i * spare / gaps).collect()
    }

    /// Starts as pytorchvideo computes them: from the duration in seconds as a 64-bit float,
    /// followed by exact fractions. A start may come one sample earlier than in
    /// [`starts`](Self::starts).
    pub fn starts_by_seconds(&self, sample_rate: u32) -> Vec<usize> {
        let rate = f64::from(sample_rate);
        let spare = (self.samples as f64 / rate - self.clip as f64 / rate).max(0.0);
        let gaps = self.count.saturating_sub(1).max(1) as u128;
        (0..self.count)
            .map(|i| floor_of_product(spare, u128::from(sample_rate) * i as u128, gaps))
            .collect()
    }
}

/// Computes `floor(x * factor / divisor)` without rounding, for a small non-negative `x`.
fn floor_of_product(x: f64, factor: u128, divisor: u128) -> usize {
    const MANTISSA: u32 = 52;
    const BIAS: u32 = 1023;
    let bits = x.to_bits();
    let exponent = (bits >> MANTISSA) as u32;
    if exponent == 0 {
        return 0;
    }
    let mantissa = u128::from((bits & ((1 << MANTISSA) - 1)) | (1 << MANTISSA));
    // x = mantissa / 2^shift. Durations are below 2^52 s, where the shift is positive.
    let shift = (BIAS + MANTISSA).saturating_sub(exponent);
    match divisor.checked_shl(shift) {
        Some(divisor) if shift < 120 => (mantissa * factor / divisor) as usize,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_seconds_give_starts_of_0_1500_and_3000_ms() {
        let plan = ClipPlan {
            samples: 80_000,
            clip: 32_000,
            count: 3,
        };
        assert_eq!(plan.starts(), [0, 24_000, 48_000]);
        assert_eq!(plan.starts_by_seconds(16_000), [0, 24_000, 48_000]);
    }

    #[test]
    fn short_sounds_repeat_their_start() {
        for samples in [1, 31_999, 32_000] {
            let plan = ClipPlan {
                samples,
                clip: 32_000,
                count: 3,
            };
            assert_eq!(plan.starts(), [0, 0, 0]);
            assert_eq!(plan.starts_by_seconds(16_000), [0, 0, 0]);
        }
    }

    #[test]
    fn one_clip_starts_at_the_beginning() {
        let plan = ClipPlan {
            samples: 80_000,
            clip: 32_000,
            count: 1,
        };
        assert_eq!(plan.starts(), [0]);
    }

    #[test]
    fn both_ways_differ_by_a_sample_at_most_and_stay_inside() {
        for samples in 32_001..33_001 {
            let plan = ClipPlan {
                samples: samples * 7,
                clip: 32_000,
                count: 3,
            };
            for (exact, float) in plan
                .starts()
                .into_iter()
                .zip(plan.starts_by_seconds(16_000))
            {
                assert!(float <= exact + 1 && exact <= float + 1);
                assert!(float + plan.clip <= plan.samples + 1);
            }
        }
    }
}
