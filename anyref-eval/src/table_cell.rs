//! Values in cells of Markdown tables.

/// Text for a missing value.
pub(super) const NOTHING: &str = "–";

/// Value with its interval, to `digits` decimal places.
pub(super) fn cell(value: Option<f64>, interval: Option<[f64; 2]>, digits: usize) -> String {
    match (value, interval) {
        (Some(value), Some([low, high])) => {
            format!("{value:.digits$} ({low:.digits$}–{high:.digits$})")
        }
        (Some(value), None) => format!("{value:.digits$}"),
        (None, _) => NOTHING.into(),
    }
}
