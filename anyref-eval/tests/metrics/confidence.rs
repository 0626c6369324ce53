//! Intervals and comparisons on samples with a known distribution.

use anyref_eval::confidence::{compare, score};
use anyref_eval::metrics::{AudioVisual, Batch, Episode, FewShot, Overlap, Referring};

/// Batches with values from 0 to 1 in a scrambled order.
fn batches(count: u64, offset: f64) -> Vec<Batch> {
    (0..count)
        .map(|i| (i * 7919 % count) as f64 / count as f64)
        .map(|iou| Batch {
            iou: (iou + offset).min(1.0),
            f_score: 0.5,
        })
        .collect()
}

#[test]
fn the_interval_of_a_mean_is_that_of_the_normal_distribution() {
    let samples = batches(1000, 0.0);
    let mean = &score(&AudioVisual, &samples, 2000, 3)[0];
    // Uniform values have the variance 1/12.
    let half = 1.96 * (1.0 / 12.0_f64 / 1000.0).sqrt();
    let value = mean.value.unwrap();
    let [low, high] = mean.interval.unwrap();
    assert!((value - 0.4995).abs() < 1e-9);
    assert!(((value - low) / half - 1.0).abs() < 0.12, "{low}");
    assert!(((high - value) / half - 1.0).abs() < 0.12, "{high}");
}

#[test]
fn the_same_seed_draws_the_same() {
    let samples = batches(50, 0.0);
    let scores = |seed| score(&AudioVisual, &samples, 200, seed);
    assert_eq!(scores(1), scores(1));
    assert_ne!(scores(1)[0].interval, scores(2)[0].interval);
    let constant = &scores(1)[1];
    assert_eq!(
        (constant.value, constant.interval),
        (Some(0.5), Some([0.5, 0.5]))
    );
}

#[test]
fn a_clear_difference_is_told_from_none() {
    let (one, other) = (batches(300, 0.05), batches(300, 0.0));
    let better = &compare(&AudioVisual, &one, &other, 500, 0)[0];
    assert!(better.difference.unwrap() > 0.04);
    assert!(better.interval.unwrap()[0] > 0.0);
    assert_eq!(better.p, Some(1.0 / 501.0));

    let same = compare(&AudioVisual, &one, &one, 500, 0);
    assert_eq!((same[0].difference, same[0].p), (Some(0.0), Some(1.0)));

    // Better as often as worse, by equal amounts.
    let mixed: Vec<_> = (0..)
        .zip(&other)
        .map(|(i, b)| Batch {
            iou: b.iou + if i % 2 == 0 { 0.1 } else { -0.1 },
            f_score: 0.5,
        })
        .collect();
    let neither = &compare(&AudioVisual, &mixed, &other, 500, 0)[0];
    assert!(neither.p.unwrap() > 0.5, "{neither:?}");
    let [low, high] = neither.interval.unwrap();
    assert!(low < 0.0 && high > 0.0);
}

#[test]
fn p_is_small_by_chance_only_as_often_as_it_says() {
    // Two equal systems, 200 times: p is below 0.1 about 20 times.
    let mut state = 1_u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let mut draw = || -> Vec<Batch> {
        (0..40)
            .map(|_| Batch {
                iou: uniform(),
                f_score: 0.0,
            })
            .collect()
    };
    let small = (0..200)
        .filter(|&seed| {
            compare(&AudioVisual, &draw(), &draw(), 99, seed)[0]
                .p
                .unwrap()
                <= 0.1
        })
        .count();
    assert!((8..=34).contains(&small), "{small} of 200");
}

#[test]
fn every_drawing_has_all_classes() {
    let overlap = |intersection| Overlap {
        intersection,
        predicted: 10,
        truth: 10,
        pixels: 40,
    };
    // With one episode a class nothing can be exchanged, so the interval is the score.
    let episodes: Vec<_> = (0..5)
        .map(|class| Episode {
            fold: 0,
            class,
            overlap: overlap(2 * class as u64),
        })
        .collect();
    let m_iou = &score(&FewShot::occurring(&episodes), &episodes, 100, 0)[0];
    assert_eq!(m_iou.interval, m_iou.value.map(|value| [value, value]));
}

#[test]
fn cumulative_scores_are_drawn_by_sample() {
    let overlap = |intersection, size| Overlap {
        intersection,
        predicted: size,
        truth: size,
        pixels: 1000,
    };
    let samples = [overlap(100, 100), overlap(0, 10)];
    let c_iou = &score(&Referring, &samples, 1000, 0)[0];
    assert!((c_iou.value.unwrap() - 100.0 / 120.0).abs() < 1e-12);
    assert_eq!(c_iou.interval, Some([0.0, 1.0]));
}
