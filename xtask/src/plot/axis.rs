//! Ranges of values and their labels.

/// Lower bound of drawn losses.
const SMALLEST: f64 = 1e-4;

/// Range of values along a side of a panel.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    /// Linear range from `low` to `high`.
    pub fn linear(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            logarithmic: false,
        }
    }

    /// Logarithmic range that holds all `values`.
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

    /// Values that the axis covers.
    pub fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }

    /// Returns whether the axis is logarithmic.
    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Value of the axis closest to `value`.
    pub fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }
}

/// Label of a tick without trailing zeros.
pub fn label(value: &f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_no_needless_digits() {
        let labels = [0.0, 0.2, 1.0, 3000.0, 0.0005].map(|value| label(&value));
        assert_eq!(labels, ["0", "0.2", "1", "3000", "0.0005"]);
    }

    #[test]
    fn a_logarithmic_axis_holds_its_values_inside() {
        let axis = Axis::logarithmic([0.3, 6.0, f64::NAN].into_iter());
        assert!(axis.range().start < 0.3 && axis.range().end > 6.0);
        assert_eq!(axis.clamp(0.0), axis.range().start);
    }

    #[test]
    fn an_axis_without_values_is_still_one() {
        let axis = Axis::logarithmic(std::iter::empty());
        assert!(axis.range().start > 0.0 && axis.range().end > axis.range().start);
        assert!(axis.clamp(1.0).is_finite());
    }
}
