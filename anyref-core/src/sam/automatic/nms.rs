//! Non-maximum suppression.

/// Box of first and last pixels, `[x0, y0, x1, y1]`.
pub(super) type Corners = [usize; 4];

/// Indices of the boxes to keep, by descending score, ties in order: those whose IoU with every
/// better kept box is at most `threshold` (torchvision `nms`). Areas are measured between first and
/// last pixels, so a box of a single row has none.
pub(super) fn nms(boxes: &[Corners], scores: &[f32], threshold: f64) -> Vec<usize> {
    let boxes: Vec<[f32; 4]> = boxes
        .iter()
        .map(|corners| corners.map(|value| value as f32))
        .collect();
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]));
    let mut kept: Vec<usize> = Vec::new();
    for candidate in order {
        let overlaps = |&better: &usize| {
            // For two boxes without area the IoU is NaN, which is not above the threshold.
            f64::from(iou(boxes[better], boxes[candidate])) > threshold
        };
        if !kept.iter().any(overlaps) {
            kept.push(candidate);
        }
    }
    kept
}

fn iou(one: [f32; 4], other: [f32; 4]) -> f32 {
    let area = |[x0, y0, x1, y1]: [f32; 4]| (x1 - x0) * (y1 - y0);
    let width = (one[2].min(other[2]) - one[0].max(other[0])).max(0.0);
    let height = (one[3].min(other[3]) - one[1].max(other[1])).max(0.0);
    let both = width * height;
    both / (area(one) + area(other) - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_of_two_overlapping_boxes_stays() {
        let boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]];
        assert_eq!(nms(&boxes, &[0.5, 0.9, 0.7], 0.7), [1, 2]);
        assert_eq!(nms(&boxes, &[0.5, 0.9, 0.7], 0.9), [1, 2, 0]);
        assert_eq!(nms(&boxes, &[0.5, 0.5, 0.5], 0.7), [0, 2]);
        assert!(nms(&[], &[], 0.7).is_empty());
    }

    #[test]
    fn boxes_without_area_suppress_none() {
        let line = [3, 0, 3, 10];
        assert_eq!(nms(&[line, line], &[0.5, 0.4], 0.7), [0, 1]);
    }
}
