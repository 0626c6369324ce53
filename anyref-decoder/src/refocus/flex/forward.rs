//! Weights of the spans, and the weighted sums of states.

use anyref_ops::slices::{add_exp, add_scaled_rows, largest};
use rayon::prelude::*;

use super::problem::Problem;

/// Positions of a span that are summed together. Parts are independent of the number of threads, so
/// that sums have the same order everywhere.
const PART: usize = 256;

/// Minimum values of a task, so that waking a thread pays.
const TASK: usize = 256 * 1024;

/// Attention of an object within its span.
pub(super) struct Span {
    /// Logarithms of the sums over heads, which are proportional to the mean attention.
    pub(super) logs: Vec<f32>,
    /// Normalised weights, which sum to 1.
    pub(super) weights: Vec<f32>,
}

/// Refocused states, `[n, width]`.
pub(super) fn states(problem: &Problem) -> Vec<f32> {
    let tokens = problem.objects.tokens();
    let lambda = problem.objects.lambda() as f32;
    let mut states = vec![0.0; tokens.len() * problem.width];
    states
        .par_chunks_mut(problem.width.max(1))
        .zip(tokens)
        .enumerate()
        .for_each(|(index, (out, object))| {
            let weights = span(problem, index).weights;
            let parts = weights
                .par_chunks(PART)
                .zip(object.span().into_par_iter().step_by(PART));
            let sums = parts.map(|(weights, start)| {
                let states = problem.states(object.row, start, weights.len());
                let mut sum = vec![0.0; problem.width];
                add_scaled_rows(&mut sum, weights, states);
                sum
            });
            let sums = sums.collect::<Vec<_>>();
            out.copy_from_slice(problem.state(object.row, object.position));
            for sum in sums {
                add_scaled_rows(out, &[lambda], &sum);
            }
        });
    states
}

/// Computes the span of an object.
pub(super) fn span(problem: &Problem, index: usize) -> Span {
    let object = &problem.objects.tokens()[index];
    let length = object.span().len();
    if length == 0 {
        return Span {
            logs: vec![],
            weights: vec![],
        };
    }
    let together = TASK / (object.context().len() * problem.head_dim).max(1);
    let heads = (0..problem.heads).into_par_iter();
    let heads = heads.with_min_len(together.max(1)).map(|head| {
        let head = problem.attend(index, object, head);
        head.span_logs(object).collect::<Vec<_>>()
    });
    let heads = heads.collect::<Vec<_>>();
    let mut logs = vec![0.0; length];
    logs.par_chunks_mut(PART)
        .enumerate()
        .for_each(|(part, logs)| sum_of_heads(&heads, part * PART, logs));
    let top = largest(&logs);
    let mut weights = vec![0.0; length];
    add_exp(&mut weights, &logs, &vec![top; length]);
    let whole = weights.iter().sum::<f32>();
    weights.iter_mut().for_each(|weight| *weight /= whole);
    Span { logs, weights }
}

/// Logarithms of the sums over heads, from index `first` on.
fn sum_of_heads(heads: &[Vec<f32>], first: usize, out: &mut [f32]) {
    let length = out.len();
    let heads = heads.iter().map(|logs| &logs[first..first + length]);
    let mut tops = vec![f32::NEG_INFINITY; out.len()];
    for head in heads.clone() {
        for (top, log) in tops.iter_mut().zip(head) {
            *top = top.max(*log);
        }
    }
    out.fill(0.0);
    for head in heads {
        add_exp(out, head, &tops);
    }
    for (sum, top) in out.iter_mut().zip(tops) {
        *sum = sum.ln() + top;
    }
}
