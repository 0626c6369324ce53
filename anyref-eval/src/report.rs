//! Scores of stamp scenes as a Markdown table.

use super::case::{Case, EvalKind};
use super::refusal::refusals;
use super::scores::{self, Scores};
use super::table_cell::{NOTHING, cell};

/// Table of the scores, and the number of refused questions.
pub fn report(cases: &[Case]) -> String {
    let refused = cases.iter().filter_map(|case| {
        let name = format!("scene {} of {}", case.scene, case.kind.name());
        Some((name, case.refused.as_deref()?))
    });
    let note = refusals(cases.len(), refused).map_or(String::new(), |note| format!("\n{note}\n"));
    table(&scores::scores(cases)) + &note
}

/// Table for a model card.
fn table(scores: &[Scores]) -> String {
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

/// Table of scores under disturbances: a row for each, undisturbed first, and a column for each
/// kind with its main score: gIoU, the share of right nouns for boxes, of answers without mask for
/// absent objects.
pub fn robustness_table(rows: &[(&str, Vec<Scores>)]) -> String {
    let kinds: Vec<_> = EvalKind::ALL
        .into_iter()
        .filter(|kind| {
            rows.iter()
                .any(|(_, scores)| scores.iter().any(|s| s.kind == *kind))
        })
        .collect();
    let mut text = String::from("| disturbance |");
    for kind in &kinds {
        text.push_str(&format!(" {} ({}) |", kind.name(), kind.main_score()));
    }
    text.push_str(&format!("\n| --- |{}\n", " --- |".repeat(kinds.len())));
    for (name, scores) in rows {
        text.push_str(&format!("| {name} |"));
        for kind in &kinds {
            let row = scores.iter().find(|row| row.kind == *kind);
            let score = row.and_then(|row| row.scores.iter().find(|s| s.name == kind.main_score()));
            let cell = score.map_or(NOTHING.into(), |s| cell(s.value, s.interval, 3));
            text.push_str(&format!(" {cell} |"));
        }
        text.push('\n');
    }
    text
}
