//! Gradients in f64.

use crate::cube::tests::attention::Sizes;

/// Gradients of a normalisation.
pub(super) struct NormGradients {
    pub(super) rows: Vec<f64>,
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

/// Gradients of normalised rows of `x`, `[.., d]`.
pub(super) fn norm_gradients(
    x: &[f64],
    gamma: &[f64],
    above: &[f64],
    centred: bool,
    epsilon: f64,
) -> NormGradients {
    let width = gamma.len();
    let count = width as f64;
    let mut found = NormGradients {
        rows: Vec::new(),
        scale: vec![0.0; width],
        shift: vec![0.0; width],
    };
    for (x, above) in x.chunks_exact(width).zip(above.chunks_exact(width)) {
        let mean = if centred {
            x.iter().sum::<f64>() / count
        } else {
            0.0
        };
        let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / (square + epsilon).sqrt();
        let normed: Vec<f64> = x.iter().map(|x| (x - mean) * scale).collect();
        let pulls: Vec<f64> = above.iter().zip(gamma).map(|(x, y)| x * y).collect();
        let common = if centred {
            pulls.iter().sum::<f64>() / count
        } else {
            0.0
        };
        let along = pulls.iter().zip(&normed).map(|(x, y)| x * y);
        let along = along.sum::<f64>() / count;
        for i in 0..width {
            found
                .rows
                .push((pulls[i] - common - normed[i] * along) * scale);
            found.scale[i] += above[i] * normed[i];
            found.shift[i] += above[i];
        }
    }
    found
}

/// Asserts that a gradient has the slopes of a function at a point.
pub(super) fn assert_slopes(at: &[f64], gradient: &[f64], of: impl Fn(&[f64]) -> f64) {
    let step = 1e-5;
    assert_eq!(at.len(), gradient.len());
    for (index, &expected) in gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut at = at.to_vec();
            at[index] += by;
            of(&at)
        };
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        let error = (slope - expected).abs();
        assert!(
            error < 1e-7 * (1.0 + expected.abs()),
            "{index}: {slope}, not {expected}"
        );
    }
}

/// Gradients of queries, keys and values of [attention](crate::cube::tests::attention::attended).
pub(super) fn attention_gradients(
    sizes: Sizes,
    [query, key, value]: [&[f64]; 3],
    above: &[f64],
    is_masked: impl Fn([usize; 4]) -> bool,
) -> [Vec<f64>; 3] {
    let Sizes {
        batch,
        heads,
        kv_heads,
        queries,
        keys,
        width,
        value_width,
    } = sizes;
    let scale = (width as f64).powf(-0.5);
    let mut found = [query, key, value].map(|x| vec![0.0; x.len()]);
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
    for row in 0..batch * heads * queries {
        let (of_head, i) = (row / queries, row % queries);
        let (of_batch, head) = (of_head / heads, of_head % heads);
        let shared = of_batch * kv_heads + head * kv_heads / heads;
        let own = &query[row * width..][..width];
        let pull = &above[row * value_width..][..value_width];
        let of_key = |j: usize| (shared * keys + j) * width;
        let of_value = |j: usize| (shared * keys + j) * value_width;
        let hidden: Vec<bool> = (0..keys)
            .map(|j| is_masked([of_batch, head, i, j]))
            .collect();
        let scores = (0..keys).map(|j| match hidden[j] {
            true => -1e30,
            false => dot(own, &key[of_key(j)..][..width]) * scale,
        });
        let scores: Vec<f64> = scores.collect();
        let top = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        let dots: Vec<f64> = (0..keys)
            .map(|j| dot(pull, &value[of_value(j)..][..value_width]))
            .collect();
        let common = dot(&weights, &dots) / total;
        for j in 0..keys {
            let share = weights[j] / total;
            for c in 0..value_width {
                found[2][of_value(j) + c] += share * pull[c];
            }
            if !hidden[j] {
                let score = share * (dots[j] - common) * scale;
                for c in 0..width {
                    found[0][row * width + c] += score * key[of_key(j) + c];
                    found[1][of_key(j) + c] += score * own[c];
                }
            }
        }
    }
    found
}
