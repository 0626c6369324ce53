//! Calibration of the mask score against the true IoU.

/// Number of bins of the mask score.
const RANGES: usize = 10;

/// Table of mask scores in bins with the mean IoU of each, and their expected calibration error,
/// from pairs of a score and an IoU. Empty when there are no pairs.
pub(super) fn calibration(scored: &[(f64, f64)]) -> String {
    if scored.is_empty() {
        return String::new();
    }
    let mut ranges = vec![Vec::new(); RANGES];
    for &(score, iou) in scored {
        let range = (score.clamp(0.0, 1.0) * RANGES as f64) as usize;
        ranges[range.min(RANGES - 1)].push((score, iou));
    }
    let mut text =
        String::from("| mask score | n | mean score | mean IoU |\n| --- | --- | --- | --- |\n");
    let mut error = 0.0;
    for (range, values) in ranges
        .iter()
        .enumerate()
        .filter(|(_, values)| !values.is_empty())
    {
        let count = values.len() as f64;
        let score = values.iter().map(|(score, _)| score).sum::<f64>() / count;
        let iou = values.iter().map(|(_, iou)| iou).sum::<f64>() / count;
        error += (score - iou).abs() * count / scored.len() as f64;
        let (from, to) = (
            range as f64 / RANGES as f64,
            (range + 1) as f64 / RANGES as f64,
        );
        text += &format!(
            "| {from:.1} to {to:.1} | {} | {score:.3} | {iou:.3} |\n",
            values.len()
        );
    }
    text + &format!(
        "\nOn average the mask score is {error:.3} away from the mean IoU of its range (expected calibration error).\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_score_is_held_against_the_iou() {
        let text = calibration(&[(0.82, 0.6), (0.88, 0.8), (1.0, 1.0)]);
        assert!(
            text.contains("| 0.8 to 0.9 | 2 | 0.850 | 0.700 |"),
            "{text}"
        );
        assert!(
            text.contains("| 0.9 to 1.0 | 1 | 1.000 | 1.000 |"),
            "{text}"
        );
        assert!(text.contains("is 0.100 away"), "{text}");
        assert_eq!(calibration(&[]), "");
    }
}
