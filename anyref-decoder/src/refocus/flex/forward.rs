//! Weights of the spans, and the states that they add up to.

use rayon::prelude::*;

use super::lanes::{add_scaled, largest};
use super::problem::Problem;

/// What the attention of an object comes to in its span.
pub(super) struct Span {
    /// Logarithms of the sums over heads, which are proportional to the mean attention.
    pub(super) logs: Vec<f32>,
    /// Their shares of the span's whole; they add up to 1.
    pub(super) weights: Vec<f32>,
}

/// The refocused states, `[n, width]`.
pub(super) fn states(problem: &Problem) -> Vec<f32> {
    let tokens = problem.objects.tokens();
    let lambda = problem.objects.lambda() as f32;
    let mut states = vec![0.0; tokens.len() * problem.width];
    states
        .par_chunks_mut(problem.width.max(1))
        .zip(tokens)
        .enumerate()
        .for_each(|(index, (out, object))| {
            let span = span(problem, index);
            for (weight, position) in span.weights.iter().zip(object.span()) {
                add_scaled(out, *weight, problem.state(object.row, position));
            }
            let state = problem.state(object.row, object.position);
            for (out, state) in out.iter_mut().zip(state) {
                *out = state + lambda * *out;
            }
        });
    states
}

/// The span of an object.
pub(super) fn span(problem: &Problem, index: usize) -> Span {
    let object = &problem.objects.tokens()[index];
    let length = object.span().len();
    if length == 0 {
        return Span {
            logs: vec![],
            weights: vec![],
        };
    }
    let heads = (0..problem.heads).into_par_iter().map(|head| {
        let head = problem.attend(index, object, head);
        head.span_logs(object).collect::<Vec<_>>()
    });
    let heads = heads.collect::<Vec<_>>();
    let logs = (0..length)
        .map(|place| {
            let logs = heads.iter().map(|logs| logs[place]);
            let top = logs.clone().fold(f32::NEG_INFINITY, f32::max);
            logs.map(|log| (log - top).exp()).sum::<f32>().ln() + top
        })
        .collect::<Vec<_>>();
    let top = largest(&logs);
    let mut weights = logs.iter().map(|log| (log - top).exp()).collect::<Vec<_>>();
    let whole = weights.iter().sum::<f32>();
    weights.iter_mut().for_each(|weight| *weight /= whole);
    Span { logs, weights }
}
