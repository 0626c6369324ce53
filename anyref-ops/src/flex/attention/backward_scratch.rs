//! Buffers of a task of the backward pass.

use super::super::product::{packed_len, padded};
use super::problem::Extent;
use super::views::{QUERIES, Views, score_stride};

/// Keys and values of a head in the forms that the products need, by blocks.
pub(super) struct Packed {
    /// `[head_dim, keys]`
    pub(super) keys_transposed: Vec<f32>,
    /// `[keys, head_dim]`
    pub(super) keys: Vec<f32>,
    /// `[value_dim, keys]`
    pub(super) values_transposed: Vec<f32>,
}

/// Buffers of a task.
pub(super) struct Scratch {
    pub(super) packed: Packed,
    pub(super) query: Vec<f32>,
    pub(super) grad: Vec<f32>,
    pub(super) packed_query: Vec<f32>,
    pub(super) packed_grad: Vec<f32>,
    pub(super) scores: Vec<f32>,
    pub(super) score_grads: Vec<f32>,
    pub(super) along: Vec<f32>,
    pub(super) query_grad: Vec<f32>,
    pub(super) key_grad: Vec<f32>,
    pub(super) value_grad: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(views: &Views<'_>) -> Self {
        let Extent {
            queries,
            keys,
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let tile = queries.min(QUERIES);
        let blocks = keys.div_ceil(views.block);
        let scores = tile * score_stride(views.block);
        let zeros = |len| vec![0.0; len];
        Self {
            packed: Packed {
                keys_transposed: zeros(blocks * packed_len(head_dim, views.block)),
                keys: zeros(blocks * packed_len(views.block, head_dim)),
                values_transposed: zeros(blocks * packed_len(value_dim, views.block)),
            },
            query: zeros(tile * head_dim),
            grad: zeros(tile * value_dim),
            packed_query: zeros(packed_len(tile, head_dim)),
            packed_grad: zeros(packed_len(tile, value_dim)),
            scores: zeros(scores),
            score_grads: zeros(scores),
            along: zeros(tile),
            query_grad: zeros(tile * padded(head_dim)),
            key_grad: zeros(keys * padded(head_dim)),
            value_grad: zeros(keys * padded(value_dim)),
        }
    }
}
