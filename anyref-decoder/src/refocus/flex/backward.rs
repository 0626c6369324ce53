//! Gradients, computed from the arguments alone.
//!
//! With `G` the gradient of an object's state, `w_j` its weights, `p_hj` the attention of head `h`,
//! and `l_j` the logarithm of `Σ_h p_hj`, so that `w` is the softmax of `l` over the span:
//!
//! ```text
//! u_j  = λ G·h_j                               of w_j
//! v_j  = w_j (u_j − Σ_k w_k u_k)               of l_j
//! e_hj = v_j p_hj / exp(l_j)                   of log p_hj, 0 outside the span
//! s_hj = e_hj − p_hj Σ_k e_hk                  of the scores, j over the whole context
//! ```

use anyref_ops::slices::{add_scaled_rows, dot_rows};
use rayon::prelude::*;

use super::forward::{Span, span};
use super::problem::Problem;
use crate::refocus::RefocusGradients;

/// Gradients of an object's span.
struct Pull {
    span: Span,
    /// `v_j`
    pulls: Vec<f32>,
}

/// Computes the gradients of all arguments from that of the output, `[n, width]`.
pub(super) fn gradients(problem: &Problem, gradient: &[f32]) -> RefocusGradients<Vec<f32>> {
    let tokens = problem.objects.tokens();
    let pulls = (0..tokens.len())
        .into_par_iter()
        .map(|index| pull(problem, gradient, index))
        .collect::<Vec<_>>();

    let size = problem.keys * problem.head_dim;
    let mut key = vec![0.0; problem.key.len()];
    let queries = key
        .par_chunks_mut(size.max(1))
        .enumerate()
        .flat_map_iter(|(index, key)| {
            let (row, kv_head) = (index / problem.kv_heads, index % problem.kv_heads);
            keys(problem, &pulls, row, kv_head, key)
        })
        .collect::<Vec<_>>();
    let mut query = vec![0.0; problem.query.len()];
    for (start, values) in queries {
        query[start..start + values.len()].copy_from_slice(&values);
    }

    let mut hidden = vec![0.0; problem.hidden.len()];
    hidden
        .par_chunks_mut((problem.length * problem.width).max(1))
        .enumerate()
        .for_each(|(row, hidden)| states(problem, gradient, &pulls, row, hidden));
    RefocusGradients { query, key, hidden }
}

fn pull(problem: &Problem, gradient: &[f32], index: usize) -> Pull {
    let object = &problem.objects.tokens()[index];
    let lambda = problem.objects.lambda() as f32;
    let gradient = &gradient[index * problem.width..][..problem.width];
    let span = span(problem, index);
    let length = object.span().len();
    let mut pulls = vec![0.0; length];
    if length > 0 {
        let states = problem.states(object.row, object.span().start, length);
        dot_rows(gradient, states, lambda, &mut pulls);
    }
    let weighted = span.weights.iter().zip(&pulls);
    let mean = weighted.map(|(weight, pull)| weight * pull).sum::<f32>();
    for (pull, weight) in pulls.iter_mut().zip(&span.weights) {
        *pull = weight * (*pull - mean);
    }
    Pull { span, pulls }
}

/// Adds to the gradients of a head's keys in a row, and returns the gradients of the queries that
/// attend to them, each with its index.
fn keys(
    problem: &Problem,
    pulls: &[Pull],
    row: usize,
    kv_head: usize,
    out: &mut [f32],
) -> Vec<(usize, Vec<f32>)> {
    let dim = problem.head_dim;
    let group = problem.heads / problem.kv_heads;
    let keys = problem.keys_of(row, kv_head);
    let mut queries = Vec::new();
    for (index, object) in problem.objects.in_row(row) {
        let (pull, span) = (&pulls[index], object.span());
        if span.is_empty() {
            continue;
        }
        for head in kv_head * group..(kv_head + 1) * group {
            let attention = problem.attend(index, object, head);
            let query = problem.query(index, head);
            let shares = attention
                .span_logs(object)
                .zip(&pull.span.logs)
                .zip(&pull.pulls)
                .map(|((log, whole), pull)| pull * (log - whole).exp())
                .collect::<Vec<_>>();
            let total = shares.iter().sum::<f32>();
            let mut query_gradient = vec![0.0; dim];
            for (score, position) in attention.scores.iter().zip(object.context()) {
                let share = match span.contains(&position) {
                    true => shares[position - span.start],
                    false => 0.0,
                };
                let attention = (score - attention.log_sum).exp();
                let slope = (share - total * attention) * problem.scale();
                let place = position * dim..(position + 1) * dim;
                add_scaled_rows(&mut query_gradient, &[slope], &keys[place.clone()]);
                add_scaled_rows(&mut out[place], &[slope], query);
            }
            queries.push(((index * problem.heads + head) * dim, query_gradient));
        }
    }
    queries
}

/// Adds to the gradients of a row's hidden states.
fn states(problem: &Problem, gradient: &[f32], pulls: &[Pull], row: usize, out: &mut [f32]) {
    let lambda = problem.objects.lambda() as f32;
    let width = problem.width;
    let place = |position: usize| {
        let place = (position - problem.objects.hidden_offset()) * width;
        place..place + width
    };
    for (index, object) in problem.objects.in_row(row) {
        let gradient = &gradient[index * width..][..width];
        add_scaled_rows(&mut out[place(object.position)], &[1.0], gradient);
        for (weight, position) in pulls[index].span.weights.iter().zip(object.span()) {
            add_scaled_rows(&mut out[place(position)], &[lambda * weight], gradient);
        }
    }
}
