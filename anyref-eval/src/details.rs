//! Breakdown of a model's scores by size, number and overlap of objects, with the confusion of
//! nouns and the calibration of the mask score.

use std::collections::BTreeMap;

use super::calibration::calibration;
use super::case::{Case, EvalKind};
use super::scores::score_cases;
use super::table_cell::cell;

/// Upper limits of COCO's small and medium objects, in pixels.
const SMALL: u64 = 32 * 32;
const MEDIUM: u64 = 96 * 96;
/// Largest number of noun pairs shown.
const CONFUSIONS: usize = 20;

/// All tables, as Markdown.
pub fn details(cases: &[Case]) -> String {
    let masks: Vec<&Case> = cases.iter().filter(|case| has_masks(case)).collect();
    let mut text = String::new();
    if !masks.is_empty() {
        text += &breakdown("pixels of the object", &masks, |case| {
            Some(size(case.truth))
        });
        text += &breakdown("objects in the scene", &masks, |case| {
            Some(case.objects.to_string())
        });
        text += &breakdown("share of the object that is seen", &masks, |case| {
            case.visible.map(seen)
        });
        let scored = masks.iter().filter(|case| case.masks > 0);
        let scored = scored.map(|case| (f64::from(case.score), case.iou()));
        text += &calibration(&scored.collect::<Vec<_>>());
    }
    text + &confusion(cases)
}

fn has_masks(case: &Case) -> bool {
    !matches!(case.kind, EvalKind::Box | EvalKind::Absent)
}

fn size(pixels: u64) -> String {
    let range = match pixels {
        0..SMALL => "1: below 32²",
        SMALL..MEDIUM => "2: 32² to 96²",
        _ => "3: 96² and more",
    };
    range.to_owned()
}

fn seen(share: f32) -> String {
    let range = match share {
        ..0.6 => "1: below 60 %",
        0.6..0.99 => "2: 60 to 99 %",
        _ => "3: all of it",
    };
    range.to_owned()
}

/// cIoU and gIoU of each group of cases. Text before a colon in a group's name only sorts it.
fn breakdown(title: &str, cases: &[&Case], group: impl Fn(&Case) -> Option<String>) -> String {
    let mut groups = BTreeMap::<(EvalKind, String), Vec<&Case>>::new();
    for case in cases {
        if let Some(group) = group(case) {
            groups.entry((case.kind, group)).or_default().push(case);
        }
    }
    if groups.is_empty() {
        return String::new();
    }
    let mut text = format!("| reference | {title} | n | cIoU (95 %) | gIoU (95 %) |\n");
    text += "| --- | --- | --- | --- | --- |\n";
    for ((kind, group), own) in groups {
        let group = group
            .split_once(": ")
            .map_or(group.as_str(), |(_, group)| group);
        let scores = score_cases(&own);
        let [c_iou, g_iou, ..] = &scores[..] else {
            continue;
        };
        text += &format!(
            "| {} | {group} | {} | {} | {} |\n",
            kind.name(),
            own.len(),
            cell(c_iou.value, c_iou.interval, 3),
            cell(g_iou.value, g_iou.interval, 3),
        );
    }
    text + "\n"
}

/// Confusion of nouns, the most frequent pairs first.
fn confusion(cases: &[Case]) -> String {
    let mut pairs = BTreeMap::<(&str, &str), usize>::new();
    let mut totals = BTreeMap::<&str, usize>::new();
    for case in cases {
        let (Some(noun), Some(said)) = (&case.noun, &case.said_noun) else {
            continue;
        };
        *totals.entry(noun).or_default() += 1;
        if noun != said {
            *pairs.entry((noun, said)).or_default() += 1;
        }
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_by_key(|(pair, count)| (usize::MAX - count, *pair));
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = String::from("| noun | taken for | times | of |\n| --- | --- | --- | --- |\n");
    for ((noun, said), count) in pairs.into_iter().take(CONFUSIONS) {
        text += &format!("| {noun} | {said} | {count} | {} |\n", totals[noun]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(noun: &str, said: &str) -> Case {
        Case {
            kind: EvalKind::Box,
            noun: Some(noun.into()),
            said_noun: Some(said.into()),
            ..Case::of_pixels(0, 0)
        }
    }

    #[test]
    fn cases_are_grouped_by_what_is_in_the_scene() {
        let case = |intersection, union, objects, visible| Case {
            objects,
            visible,
            ..Case::of_pixels(intersection, union)
        };
        let cases = [
            case(500, 1000, 2, Some(1.0)),
            case(1000, 2000, 3, Some(0.5)),
            case(10_000, 20_000, 3, None),
        ];
        let text = details(&cases);
        let count = |words: &str| text.matches(words).count();
        assert_eq!(
            count("| text | below 32² | 2 | 0.500 (0.500–0.500) |"),
            1,
            "{text}"
        );
        assert_eq!(count("| text | 96² and more | 1 |"), 1, "{text}");
        assert_eq!(count("| text | 3 | 2 |"), 1, "{text}");
        assert_eq!(count("| text | all of it | 1 |"), 1, "{text}");
        assert_eq!(count("| text | below 60 % | 1 |"), 1, "{text}");
        assert_eq!(count("taken for"), 0, "{text}");
    }

    #[test]
    fn nouns_taken_for_one_another_are_counted() {
        let cases = [
            described("dog", "cat"),
            described("dog", "cat"),
            described("dog", "dog"),
            described("cow", "dog"),
        ];
        let text = details(&cases);
        assert!(
            text.ends_with("| dog | cat | 2 | 3 |\n| cow | dog | 1 | 1 |\n"),
            "{text}"
        );
    }
}
