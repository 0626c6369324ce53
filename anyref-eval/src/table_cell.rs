//! Values in cells of Markdown tables.

/// Text in the place of a value that there is not.
pub(super) const NOTHING: &str = "–";

/// A value with its interval, to so many digits.
pub(super) fn cell(value: Option<f64>, interval: Option<[f64; 2]>, digits: usize) -> String {
    match (value, interval) {
        (Some(value), Some([low, high])) => {
            format!("{value:.digits$} ({low:.digits$}–{high:.digits$})")
        }
        (Some(value), None) => format!("{value:.digits$}"),
        (None, _) => NOTHING.into(),
    }
}
