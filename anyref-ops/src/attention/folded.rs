//! Attention in few GPU kernels.

use burn::tensor::{Bool, Tensor, TensorData, backend::Backend};

use super::composition::composed;
use super::input::{AttentionInput, RelativePosition};
use crate::dispatch::on_gpu_without_gradients;
use crate::matmul::{ALIGNMENT, extended, is_safe, safe_size};

/// Scores held at once where no gradient needs all of them, unless a single query has more. In f32
/// they take 128 MiB, the largest buffer of some devices (Mesa's lavapipe, browsers). The full
/// picture of SAM ViT-H has eight times this number.
const MOST_SCORES: usize = 1 << 25;

/// Computes the [folded](AttentionInput::folded) attention by the composed form, queries in chunks
/// where the scores exceed [`MOST_SCORES`].
pub(super) fn attention<B: Backend>(input: AttentionInput<B>) -> Tensor<B, 4> {
    let most = match on_gpu_without_gradients::<B>(&input.query.device()) {
        true => MOST_SCORES,
        false => usize::MAX,
    };
    by_queries(input.folded(), most)
}

/// Computes the composed form for chunks of queries with at most `most` scores each.
fn by_queries<B: Backend>(input: AttentionInput<B>, most: usize) -> Tensor<B, 4> {
    let [batch, heads, queries, _] = input.query.dims();
    let of_query = batch * heads * safe_size(input.key.dims()[2]);
    let at_once = at_once(queries, of_query, most);
    if at_once >= queries {
        return composed(input);
    }
    let outputs = (0..queries).step_by(at_once).map(|first| {
        let count = at_once.min(queries - first);
        composed(input.clone().of_queries(first, count))
    });
    Tensor::cat(outputs.collect(), 2)
}

/// Returns the number of queries in a chunk, each with `of_query` scores: a multiple of
/// [`ALIGNMENT`] where `most` allows it.
fn at_once(queries: usize, of_query: usize, most: usize) -> usize {
    let fit = (most / of_query.max(1)).max(1);
    match fit / ALIGNMENT {
        0 => fit,
        // As few chunks as possible, of equal size.
        steps => {
            let parts = queries.div_ceil(steps * ALIGNMENT).max(1);
            queries.div_ceil(parts).next_multiple_of(ALIGNMENT)
        }
    }
}

impl<B: Backend> AttentionInput<B> {
    /// Narrows the input to queries `first..first + count` and the keys that they can see.
    ///
    /// # Panics
    /// When there are relative positions, which [`folded`](Self::folded) takes away.
    fn of_queries(mut self, first: usize, count: usize) -> Self {
        assert!(self.relative_position.is_none(), "positions are folded");
        let (queries, keys) = (self.query.dims()[2], self.key.dims()[2]);
        self.query = self.query.narrow(2, first, count);
        let mut mask = self.mask.take().map(|mask| match mask.dims()[2] {
            1 => mask,
            _ => mask.narrow(2, first, count),
        });
        match self.causal && (mask.is_some() || keys < queries) {
            // A query that sees no key attends to all of them, so all keys are kept.
            true => {
                let offset = keys as i64 - queries as i64;
                let device = self.query.device();
                let later = Tensor::<B, 2, Bool>::tril_mask([queries, keys], offset, &device);
                let later = later.narrow(0, first, count).unsqueeze::<4>();
                mask = Some(match mask {
                    Some(mask) => {
                        let [batch, heads, ..] = mask.dims();
                        let shape = [batch, heads, count, keys];
                        mask.expand(shape).bool_or(later.expand(shape))
                    }
                    None => later,
                });
                self.causal = false;
            }
            false if self.causal => {
                let seen = keys + first + count - queries;
                self.key = self.key.narrow(2, 0, seen);
                self.value = self.value.narrow(2, 0, seen);
            }
            false => {}
        }
        self.mask = mask;
        self
    }

    /// Moves relative positions and padding into the product of queries and keys; the attention
    /// stays equal. Relative positions become further components of the queries, which meet a one
    /// in the keys of their row and column; added to the scores they would cost two passes over all
    /// of them. Widths that the product kernels do not support, such as those of most models'
    /// heads, are padded with zeros before the keys are transposed, as whole rows.
    ///
    /// The result has no relative positions, an explicit scale, and queries and keys that may be
    /// wider than the values. Half-precision scores are rounded once, with their positions.
    ///
    /// # Panics
    /// When the keys are not as many as the rows and columns of the positions give.
    pub fn folded(mut self) -> Self {
        let head_dim = self.query.dims()[3];
        let scale = self.scale.unwrap_or_else(|| (head_dim as f64).powf(-0.5));
        self.scale = Some(scale);
        match self.relative_position.take() {
            Some(RelativePosition { height, width }) => {
                let grid = [height.dims()[3], width.dims()[3]];
                let dtype = self.query.dtype();
                let (height, width) = (height.cast(dtype), width.cast(dtype));
                let size = padded(head_dim + grid[0] + grid[1]);
                self.key = beside(self.key, grid, size);
                let query = Tensor::cat(vec![self.query * scale, height, width], 3);
                self.query = extended(query, 3, size);
                self.scale = Some(1.0);
            }
            None if !is_safe(head_dim) && padded(head_dim) <= 2 * head_dim => {
                let size = padded(head_dim);
                self.key = extended(self.key, 3, size);
                self.query = extended(self.query, 3, size);
            }
            None => {}
        }
        self
    }
}

/// Rounds an inner dimension up to a size that the kernels handle best.
fn padded(size: usize) -> usize {
    size.next_multiple_of(ALIGNMENT)
}

/// Appends to each key a one-hot row and a one-hot column of a grid, and zeros up to `size`.
fn beside<B: Backend>(key: Tensor<B, 4>, [rows, columns]: [usize; 2], size: usize) -> Tensor<B, 4> {
    let [batch, heads, keys, head_dim] = key.dims();
    assert_eq!(keys, rows * columns, "keys are a grid");
    let (device, dtype) = (key.device(), key.dtype());
    let extra = size - head_dim;
    let mut ones = vec![false; keys * extra];
    for (index, ones) in ones.chunks_exact_mut(extra).enumerate() {
        ones[index / columns] = true;
        ones[rows + index % columns] = true;
    }
    let ones = Tensor::<B, 2, Bool>::from_data(TensorData::new(ones, [keys, extra]), &device);
    let ones = ones.float().cast(dtype).unsqueeze::<4>();
    Tensor::cat(vec![key, ones.expand([batch, heads, keys, extra])], 3)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};
    use burn::backend::Autodiff;
    use burn_flex::Flex;

    #[test]
    fn parts_fit_and_are_not_more_than_they_have_to_be() {
        // SAM ViT-H on a full picture, and a batch of prompts too long for a multiple of the
        // alignment.
        assert_eq!(at_once(4096, 16 * 4096, MOST_SCORES), 512);
        assert_eq!(at_once(1160, 8 * 32 * 1280, MOST_SCORES), 102);
        assert_eq!(at_once(264, 1, 256), 256);
        assert_eq!(at_once(7, 1 << 30, MOST_SCORES), 1);
        for queries in [1, 100, 128, 129, 300, 4096] {
            for fit in [1, 5, 127, 128, 200, 256, 5000] {
                let at_once = at_once(queries, 10, 10 * fit);
                assert!(
                    at_once <= fit || queries <= fit,
                    "{queries} {fit}: {at_once}"
                );
            }
        }
    }

    /// Covers three chunks of 300 queries, shared heads, one mask for all queries and one for each,
    /// no mask, and left padding, whose own queries see no key.
    #[test]
    fn queries_in_parts_attend_as_all_at_once() {
        let device = Default::default();
        let (batch, heads, queries) = (2, 4, 300);
        for (keys, rows, causal) in [
            (310, Some(1), false),
            (310, Some(1), true),
            (310, Some(queries), false),
            (310, Some(queries), true),
            (310, None, true),
            (40, None, true),
        ] {
            let input = AttentionInput::<Flex>::new(
                random([batch, heads, queries, 8], 1, &device),
                random([batch, 2, keys, 8], 2, &device),
                random([batch, 2, keys, 8], 3, &device),
            );
            let mask = rows.map(|rows| {
                let mask = random::<Flex, 4>([batch, 1, rows, keys], 4, &device).greater_elem(0.5);
                let padding =
                    TensorData::new(vec![true; batch * rows * 150], [batch, 1, rows, 150]);
                let padding = Tensor::<Flex, 4, Bool>::from_data(padding, &device);
                mask.slice_assign([0..batch, 0..1, 0..rows, 0..150], padding)
            });
            let input = input.with_mask(mask).with_causal(causal);
            let most = batch * heads * 150 * safe_size(keys);
            assert_eq!(at_once(queries, batch * heads * safe_size(keys), most), 128);
            let parts = by_queries(input.clone(), most);
            assert_close(&parts, &composed(input), 1e-5);
        }
    }

    /// Covers heads of 8 (unpadded), 64 and 80 (padded), a 3 × 5 grid and shared keys, with
    /// gradients.
    #[test]
    fn folding_changes_neither_attention_nor_gradients() {
        type B = Autodiff<Flex>;
        let device = Default::default();
        for (head_dim, grid, kv_heads, causal) in [
            (8, None, 2, true),
            (64, None, 4, true),
            (80, None, 2, false),
            (80, Some([3, 5]), 4, false),
            (8, Some([3, 5]), 2, true),
        ] {
            let (batch, heads, queries, keys) = (2, 4, 7, 15);
            let along = random::<B, 4>([batch, heads, queries, head_dim], 9, &device);
            let run = |form: fn(AttentionInput<B>) -> Tensor<B, 4>| {
                let leaf = |shape, seed| random::<B, 4>(shape, seed, &device).require_grad();
                let mut leaves = vec![
                    leaf([batch, heads, queries, head_dim], 1),
                    leaf([batch, kv_heads, keys, head_dim], 2),
                    leaf([batch, kv_heads, keys, head_dim], 3),
                ];
                let position = grid.map(|[rows, columns]| {
                    leaves.push(leaf([batch, heads, queries, rows], 4));
                    leaves.push(leaf([batch, heads, queries, columns], 5));
                    RelativePosition {
                        height: leaves[3].clone(),
                        width: leaves[4].clone(),
                    }
                });
                let [query, key, value] = [0, 1, 2].map(|i: usize| leaves[i].clone());
                let input = AttentionInput::new(query, key, value)
                    .with_relative_position(position)
                    .with_causal(causal);
                let y = form(input);
                let grads = (y.clone() * along.clone()).sum().backward();
                let mut found = vec![y.inner()];
                found.extend(leaves.iter().map(|x| x.grad(&grads).expect("gradient")));
                found
            };
            for (found, expected) in run(attention).iter().zip(&run(composed)) {
                assert_close(found, expected, 1e-5);
            }
        }
    }
}
