//! Attention in few kernels of a GPU.

use burn::tensor::{Bool, Tensor, TensorData, backend::Backend};

use super::attention::{AttentionInput, RelativePosition, composed};
use super::matmul::{ALIGNMENT, extended, is_safe};
use super::on_gpu_without_gradients;

/// As many scores as are held at once, where no gradient asks for all of them. In f32 these are the 128 MiB that some devices have for
/// the largest buffer (Mesa's lavapipe, browsers); the whole picture of SAM ViT-H has eight times as many.
const MOST_SCORES: usize = 1 << 25;

/// The composed form of what is [folded](AttentionInput::folded), some queries after others where scores are many.
pub(super) fn attention<B: Backend>(input: AttentionInput<B>) -> Tensor<B, 4> {
    let most = match on_gpu_without_gradients::<B>(&input.query.device()) {
        true => MOST_SCORES,
        false => usize::MAX,
    };
    by_queries(input.folded(), most)
}

/// The composed form for as many queries at a time as have `most` scores or fewer, and for [`ALIGNMENT`] at least.
fn by_queries<B: Backend>(input: AttentionInput<B>, most: usize) -> Tensor<B, 4> {
    let [batch, heads, queries, _] = input.query.dims();
    let of_query = batch * heads * input.key.dims()[2];
    let fit = (most / of_query.max(1)).max(ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    if queries <= fit {
        return composed(input);
    }
    // Parts of about the same size need fewer kernels.
    let parts = queries.div_ceil(fit);
    let at_once = queries.div_ceil(parts).next_multiple_of(ALIGNMENT);
    let outputs = (0..queries).step_by(at_once).map(|first| {
        let count = at_once.min(queries - first);
        composed(input.clone().of_queries(first, count))
    });
    Tensor::cat(outputs.collect(), 2)
}

impl<B: Backend> AttentionInput<B> {
    /// Some of the queries, with the keys that they can see.
    ///
    /// # Panics
    /// When there are relative positions, which [`folded`](Self::folded) takes away.
    fn of_queries(mut self, first: usize, count: usize) -> Self {
        assert!(self.relative_position.is_none(), "positions are folded");
        let (queries, keys) = (self.query.dims()[2], self.key.dims()[2]);
        self.query = self.query.narrow(2, first, count);
        self.mask = self.mask.map(|mask| match mask.dims()[2] {
            1 => mask,
            _ => mask.narrow(2, first, count),
        });
        if self.causal {
            let seen = keys + first + count - queries;
            self.key = self.key.narrow(2, 0, seen);
            self.value = self.value.narrow(2, 0, seen);
            self.mask = self.mask.map(|mask| match mask.dims()[3] {
                1 => mask,
                _ => mask.narrow(3, 0, seen),
            });
        }
        self
    }

    /// The same attention with two things moved into the product of queries and keys. Relative positions are further
    /// components of the queries, which meet a one in the keys of their row and of their column: added to scores they would
    /// be two passes over all of these. And widths that the product does not take as they are, those of most models' heads,
    /// are padded with zeros before the keys are transposed, by whole rows.
    ///
    /// The result has no relative positions, its scale, and queries and keys that may be wider than the values. Half scores
    /// are rounded once, with their positions.
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

/// The inner dimension of this size or more that kernels like best.
fn padded(size: usize) -> usize {
    size.next_multiple_of(ALIGNMENT)
}

/// Keys with a one for their row and a one for their column of a grid beside them, and zeros up to `size`.
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

    /// Three parts of 300 queries, with shared heads, one mask for all queries and one for each.
    #[test]
    fn queries_in_parts_attend_as_all_at_once() {
        let device = Default::default();
        let (batch, heads, queries, keys) = (2, 4, 300, 310);
        let input = AttentionInput::<Flex>::new(
            random([batch, heads, queries, 8], 1, &device),
            random([batch, 2, keys, 8], 2, &device),
            random([batch, 2, keys, 8], 3, &device),
        );
        for (rows, causal) in [(1, false), (1, true), (queries, false), (queries, true)] {
            let masked = random::<Flex, 4>([batch, 1, rows, keys], 4, &device).greater_elem(0.5);
            let input = input.clone().with_mask(Some(masked)).with_causal(causal);
            let parts = by_queries(input.clone(), batch * heads * 150 * keys);
            assert_close(&parts, &composed(input), 1e-5);
        }
    }

    /// Heads of 8 (as they are), 64 and 80 (padded), a grid of 3 by 5 and shared keys, with their gradients.
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
