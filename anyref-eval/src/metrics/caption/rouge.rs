//! ROUGE-L: longest common subsequence of words.

/// Weight of recall against precision: β.
const BETA: f64 = 1.2;

/// Score of one description: the best precision and the best recall over the references, each
/// possibly of another reference, as in pycocoevalcap.
pub fn score(words: &[String], references: &[Vec<String>]) -> f64 {
    let (mut precision, mut recall) = (0.0_f64, 0.0_f64);
    for reference in references {
        // pycocoevalcap reads an empty text as one empty word, and two of them agree.
        let common = match (words.is_empty(), reference.is_empty()) {
            (true, true) => 1,
            _ => common_subsequence(words, reference),
        } as f64;
        precision = precision.max(common / words.len().max(1) as f64);
        recall = recall.max(common / reference.len().max(1) as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

fn common_subsequence(left: &[String], right: &[String]) -> usize {
    let mut row = vec![0; right.len() + 1];
    for a in left {
        let mut diagonal = 0;
        for (j, b) in right.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if a == b {
                diagonal + 1
            } else {
                above.max(row[j])
            };
            diagonal = above;
        }
    }
    row[right.len()]
}
