//! Scores as a Markdown table.

use super::scores::{Estimate, Scores};

/// The table of a model card.
pub fn table(scores: &[Scores]) -> String {
    let mut text = String::from(
        "| reference | n | cIoU | gIoU (95 %) | F (β² 0.3) | noun | expression | no mask |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in scores {
        let number = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.3}"));
        let interval = |value: Option<Estimate>| {
            value.map_or("–".into(), |v| {
                format!("{:.3} ({:.3}–{:.3})", v.mean, v.interval[0], v.interval[1])
            })
        };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.3} |\n",
            row.kind.name(),
            row.cases,
            number(row.c_iou),
            interval(row.g_iou),
            number(row.f_score),
            interval(row.noun),
            interval(row.expression),
            row.refused,
        ));
    }
    text
}
