//! From values to places along an axis.

/// Ticks wanted.
const TICKS: f64 = 5.0;
/// Smaller losses are drawn as this.
const SMALLEST: f64 = 1e-4;

/// A range of values.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    /// From `low` to `high`.
    pub fn linear(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            logarithmic: false,
        }
    }

    /// A range that holds all values, by orders of magnitude.
    pub fn logarithmic(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, SMALLEST);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value.max(SMALLEST));
            high = high.max(value);
        }
        let low = if low < high { low } else { high / 10.0 };
        Self {
            low: low / 1.1,
            high: high * 1.1,
            logarithmic: true,
        }
    }

    /// Where a value lies, 0 at the low end and 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value.max(SMALLEST) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }

    /// Round values inside the range.
    pub fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            self.logarithmic_ticks()
        } else {
            self.linear_ticks()
        }
    }

    fn linear_ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / TICKS;
        let unit = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * unit)
            .into_iter()
            .find(|s| *s >= rough * 0.999);
        let step = step.unwrap_or(unit);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step * 1.000_001).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn logarithmic_ticks(&self) -> Vec<f64> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let multiples: &[f64] = match (self.high / self.low).log10() {
            ..1.0 => &[1.0, 2.0, 3.0, 5.0, 7.0],
            1.0..4.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        decades
            .flat_map(|decade| multiples.iter().map(move |m| m * 10f64.powi(decade)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// A tick's value without needless digits.
pub fn label(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let labels = |axis: Axis| axis.ticks().into_iter().map(label).collect::<Vec<_>>();
        assert_eq!(
            labels(Axis::linear(0.0, 1.0)),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(
            labels(Axis::linear(0.0, 3000.0)),
            ["0", "1000", "2000", "3000"]
        );
        let losses = Axis::logarithmic([0.3, 6.0, f64::NAN].into_iter());
        assert_eq!(labels(losses), ["0.5", "1", "2", "5"]);
        assert_eq!(
            labels(Axis::logarithmic([2.5, 6.0].into_iter())),
            ["3", "5"]
        );
        assert!(losses.place(0.3) > 0.0 && losses.place(6.0) < 1.0);
    }

    #[test]
    fn an_axis_without_values_is_still_one() {
        let axis = Axis::logarithmic(std::iter::empty());
        assert!(axis.place(1.0).is_finite());
    }
}
