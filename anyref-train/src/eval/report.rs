//! Scores of stamp scenes as a Markdown table.

use super::scores::Scores;

/// What stands where there is no value.
pub(super) const NOTHING: &str = "–";

/// The table of a model card.
pub fn table(scores: &[Scores]) -> String {
    let mut text = String::from(
        "| reference | n | cIoU (95 %) | gIoU (95 %) | F (β² 0.3) | noun | expression | no mask |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in scores {
        text.push_str(&format!("| {} | {} |", row.kind.name(), row.cases));
        for score in &row.scores {
            text.push_str(&format!(" {} |", cell(score.value, score.interval, 3)));
        }
        text.push('\n');
    }
    text
}

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
