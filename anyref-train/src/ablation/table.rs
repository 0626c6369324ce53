//! Table of an ablation, as Markdown.

use core::fmt::Write;

use super::config::{AblationConfig, Variant};
use super::result::RunResult;
use anyref_eval::EvalKind;

/// Text for a missing value.
const NOTHING: &str = "–";

/// Main score of each kind by variant, as mean ± standard deviation over the seeds; then the paired
/// difference of each variant from the first, seed by seed.
pub fn table(config: &AblationConfig, results: &[RunResult]) -> String {
    let kinds = &config.evaluation.kinds;
    let mut text = format!(
        "Mean ± standard deviation over runs with different seeds, {} test scenes a kind; n is the number of runs.\n\n",
        config.evaluation.scenes
    );
    header(&mut text, "variant", kinds);
    for variant in &config.variants {
        let runs: Vec<_> = of(results, variant).collect();
        row(&mut text, variant, runs.len(), kinds, |kind| {
            runs.iter().filter_map(|run| run.main_score(kind)).collect()
        });
    }
    let Some((first, others)) = config.variants.split_first() else {
        return text;
    };
    if others.is_empty() {
        return text;
    }
    let _ = write!(
        text,
        "\nDifference from {}, each run from that with the same seed:\n\n",
        first.title()
    );
    header(&mut text, "variant", kinds);
    for variant in others {
        let pairs: Vec<_> = of(results, variant)
            .filter_map(|run| {
                Some((
                    run,
                    of(results, first).find(|other| other.seed == run.seed)?,
                ))
            })
            .collect();
        row(&mut text, variant, pairs.len(), kinds, |kind| {
            let difference = |(run, other): &(&RunResult, &RunResult)| {
                Some(run.main_score(kind)? - other.main_score(kind)?)
            };
            pairs.iter().filter_map(difference).collect()
        });
    }
    text
}

fn of<'r>(results: &'r [RunResult], variant: &'r Variant) -> impl Iterator<Item = &'r RunResult> {
    results
        .iter()
        .filter(|result| result.variant == variant.name)
}

fn header(text: &mut String, first: &str, kinds: &[EvalKind]) {
    let _ = write!(text, "| {first} | n |");
    for kind in kinds {
        let _ = write!(text, " {} ({}) |", kind.name(), kind.main_score());
    }
    let _ = write!(text, "\n| --- | --- |{}\n", " --- |".repeat(kinds.len()));
}

fn row(
    text: &mut String,
    variant: &Variant,
    runs: usize,
    kinds: &[EvalKind],
    values: impl Fn(EvalKind) -> Vec<f64>,
) {
    let _ = write!(text, "| {} | {runs} |", variant.title());
    for &kind in kinds {
        let _ = write!(text, " {} |", cell(&values(kind)));
    }
    text.push('\n');
}

/// Mean and sample standard deviation.
fn cell(values: &[f64]) -> String {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    match values.len() {
        0 => NOTHING.into(),
        1 => format!("{mean:.3}"),
        _ => format!("{mean:.3} ± {:.3}", (squares / (n - 1.0)).sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ablation::result::KindResult;
    use serde_json::json;

    fn result(variant: &str, seed: u64, iou: f64, noun: Option<f64>) -> RunResult {
        let kind = |name: &str, value| KindResult {
            n: 10,
            scores: [(name.to_owned(), value), ("no mask".to_owned(), 0.5)].into(),
        };
        let boxes = noun.map(|noun| (EvalKind::Box, kind("noun", noun)));
        let texts = [(EvalKind::Text, kind("gIoU", iou))];
        RunResult {
            variant: variant.into(),
            seed,
            kinds: texts.into_iter().chain(boxes).collect(),
        }
    }

    #[test]
    fn means_spreads_and_differences_of_pairs() {
        let config = serde_json::from_value(json!({
            "name": "t", "base": {}, "seeds": [1, 2, 3],
            "variants": [{ "name": "base" }, { "name": "other", "title": "another" }],
            "evaluation": { "kinds": ["text", "box"], "scenes": 10 }
        }))
        .unwrap();
        let results = [
            result("base", 1, 0.1, Some(0.5)),
            result("base", 2, 0.2, Some(0.7)),
            result("base", 3, 0.6, Some(0.6)),
            result("other", 1, 0.2, None),
            result("other", 2, 0.4, None),
        ];
        let expected = "\
Mean ± standard deviation over runs with different seeds, 10 test scenes a kind; n is the number of runs.

| variant | n | text (gIoU) | box (noun) |
| --- | --- | --- | --- |
| base | 3 | 0.300 ± 0.265 | 0.600 ± 0.100 |
| another | 2 | 0.300 ± 0.141 | – |

Difference from base, each run from that with the same seed:

| variant | n | text (gIoU) | box (noun) |
| --- | --- | --- | --- |
| another | 2 | 0.150 ± 0.071 | – |
";
        assert_eq!(table(&config, &results), expected);
        assert!(table(&config, &results[..1]).contains("| base | 1 | 0.100 | 0.500 |"));
    }
}
