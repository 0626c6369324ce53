//! Gradients of attention compared with their definition in f64.

use burn::backend::Autodiff;
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Tensor, TensorData};

use super::reference::{assert_slopes, attention_gradients};
use super::{backward, constant, leaf};
use crate::blocks::random::random_bytes;
use crate::cube::calls::{self, KernelAttention};
use crate::cube::gradients::attend;
use crate::cube::tests::attention::{Sizes, attended};
use crate::cube::tests::{allowed, assert_near, each_type, numbers, tensor};

/// Mask of some batches, heads and queries, in which the last row hides all keys.
struct Mask {
    rows: [usize; 3],
    keys: usize,
    hidden: Vec<bool>,
}

impl Mask {
    fn new(rows: [usize; 3], keys: usize) -> Self {
        let count = rows.iter().product::<usize>() * keys;
        let bytes = random_bytes(count, 4).into_iter().enumerate();
        let hidden = bytes.map(|(i, byte)| byte > 127 || i + keys >= count);
        Self {
            rows,
            keys,
            hidden: hidden.collect(),
        }
    }

    fn hides(&self, [batch, head, query, key]: [usize; 4]) -> bool {
        let [batches, heads, queries] = self.rows;
        let row = batch.min(batches - 1) * heads + head.min(heads - 1);
        self.hidden[(row * queries + query.min(queries - 1)) * self.keys + key]
    }

    fn tensor<B: Backend>(&self) -> Tensor<B, 4, Bool> {
        let [batches, heads, queries] = self.rows;
        let shape = [batches, heads, queries, self.keys];
        let data = TensorData::new(self.hidden.clone(), shape);
        Tensor::from_data(data, &Default::default())
    }
}

/// Returns whether a query does not see a key by the causal mask.
fn is_later(sizes: Sizes, [_, _, i, j]: [usize; 4]) -> bool {
    j + sizes.queries > sizes.keys + i
}

/// One tile and several, of queries and of keys, whole and not; every width of vectors, heads in
/// one part and several, values of another width; shared heads, causal masks, masks of every
/// broadcast, queries that see nothing, more queries than keys, and one query.
pub(super) fn attention_has_gradients<B: Backend>() {
    for (sizes, masks, causal) in [
        ([2, 2, 2, 50, 7, 16, 16], vec![None, Some([2, 1, 1])], false),
        ([1, 2, 2, 130, 130, 64, 64], vec![None], true),
        (
            [2, 4, 1, 33, 70, 128, 128],
            vec![None, Some([2, 1, 1])],
            true,
        ),
        ([1, 2, 1, 70, 70, 80, 80], vec![None], false),
        ([1, 3, 3, 17, 67, 24, 24], vec![Some([1, 3, 17])], false),
        ([1, 4, 2, 20, 41, 96, 96], vec![Some([1, 1, 20])], true),
        ([1, 1, 1, 40, 3, 7, 37], vec![None, Some([1, 1, 1])], true),
        ([1, 1, 1, 18, 35, 150, 66], vec![None], false),
        ([1, 2, 2, 19, 25, 256, 256], vec![None], true),
        ([3, 2, 1, 1, 40, 32, 32], vec![None], false),
    ] {
        let sizes = Sizes::of(sizes);
        let shapes = sizes.shapes();
        let numbers_of = sizes.numbers();
        let inputs = numbers_of.each_ref().map(Vec::as_slice);
        let output_shape = [sizes.batch, sizes.heads, sizes.queries, sizes.value_width];
        let above = numbers(output_shape.iter().product(), 9);
        for rows in masks {
            let mask = rows.map(|rows| Mask::new(rows, sizes.keys));
            let hidden = |at: [usize; 4]| {
                causal && is_later(sizes, at) || mask.as_ref().is_some_and(|mask| mask.hides(at))
            };
            let output = attended(sizes, inputs, hidden);
            let expected = attention_gradients(sizes, inputs, &above, hidden);
            each_type::<B>(|dtype| {
                let case = format!("{sizes:?} {dtype:?} {rows:?} {causal}");
                let leaves = [0, 1, 2].map(|i| leaf::<B, 4>(inputs[i], shapes[i], dtype));
                let mask = mask.as_ref().map(Mask::tensor::<Autodiff<B>>);
                let found = attend(KernelAttention {
                    query: &leaves[0],
                    key: &leaves[1],
                    value: &leaves[2],
                    mask: mask.as_ref(),
                    positions: None,
                    causal,
                    scale: (sizes.width as f64).powf(-0.5),
                });
                let found = found.expect("a kernel");
                assert_near(&case, found.clone().inner(), &output, allowed(dtype));
                let above = constant(&above, output_shape, dtype);
                let grads = backward(found, above);
                for (index, (leaf, expected)) in leaves.iter().zip(&expected).enumerate() {
                    let case = format!("{case}, input {index}");
                    let found = leaf.grad(&grads).expect("a gradient");
                    assert_near(&case, found, expected, 4.0 * allowed(dtype));
                }
            });
        }
    }
}

/// Heads of tokens as parts of a wider projection, whose gradient is one tensor, an output that is
/// read in the order of tokens, and a gradient of one number for all.
pub(super) fn views_have_gradients<B: Backend>() {
    let sizes = Sizes::of([2, 3, 3, 20, 20, 24, 24]);
    let [shape, ..] = sizes.shapes();
    let [batch, heads, tokens, dim] = shape;
    let inputs = sizes.numbers();
    let inputs = inputs.each_ref().map(Vec::as_slice);
    let later = |at| is_later(sizes, at);
    let ones = vec![1.0; inputs[0].len()];
    let expected = attention_gradients(sizes, inputs, &ones, later);
    each_type::<B>(|dtype| {
        let rows = |x: &[f64]| {
            let x = tensor::<B, 4>(x, shape, dtype).swap_dims(1, 2);
            x.reshape([batch, tokens, heads * dim])
        };
        let together = Tensor::cat(inputs.map(rows).into(), 2);
        let together = Tensor::<Autodiff<B>, 3>::from_inner(together).require_grad();
        let [query, key, value] = [0, 1, 2].map(|index| {
            let part = together.clone().narrow(2, index * heads * dim, heads * dim);
            part.reshape([batch, tokens, heads, dim]).swap_dims(1, 2)
        });
        let found = attend(KernelAttention {
            query: &query,
            key: &key,
            value: &value,
            mask: None,
            positions: None,
            causal: true,
            scale: (dim as f64).powf(-0.5),
        });
        let found = found.expect("a kernel").swap_dims(1, 2);
        let found = found.reshape([batch, tokens, heads * dim]);
        let grads = found.sum().backward();
        let found = together.grad(&grads).expect("a gradient");
        for (index, expected) in expected.iter().enumerate() {
            let part = found.clone().narrow(2, index * heads * dim, heads * dim);
            let part = part.reshape([batch, tokens, heads, dim]).swap_dims(1, 2);
            let case = format!("{dtype:?}, input {index}");
            assert_near(&case, part, expected, 4.0 * allowed(dtype));
        }
    });
}

/// Tensors of a graph without gradients, with relative positions; with gradients these are left to
/// other forms.
pub(super) fn attention_without_gradients_is_that_of_the_backend<B: Backend>() {
    let sizes = Sizes::of([2, 2, 2, 35, 35, 24, 24]);
    let [shape, ..] = sizes.shapes();
    let inputs = sizes.numbers();
    let (rows, columns) = (numbers(140 * 5, 7), numbers(140 * 7, 8));
    each_type::<B>(|dtype| {
        let plain = [0, 1, 2].map(|i: usize| tensor::<B, 4>(&inputs[i], shape, dtype));
        let by_row = tensor::<B, 4>(&rows, [2, 2, 35, 5], dtype);
        let by_column = tensor::<B, 4>(&columns, [2, 2, 35, 7], dtype);
        let expected = calls::attend(KernelAttention {
            query: &plain[0],
            key: &plain[1],
            value: &plain[2],
            mask: None,
            positions: Some([&by_row, &by_column]),
            causal: false,
            scale: 0.25,
        });
        let expected = expected.expect("a kernel").into_data();
        let expected: Vec<f64> = expected.iter::<f64>().collect();
        let on_graph = plain.map(Tensor::<Autodiff<B>, 4>::from_inner);
        let [by_row, by_column] = [by_row, by_column].map(Tensor::<Autodiff<B>, 4>::from_inner);
        let found = |query: &Tensor<Autodiff<B>, 4>| {
            attend(KernelAttention {
                query,
                key: &on_graph[1],
                value: &on_graph[2],
                mask: None,
                positions: Some([&by_row, &by_column]),
                causal: false,
                scale: 0.25,
            })
        };
        let attended = found(&on_graph[0]).expect("a kernel").inner();
        assert_near(&format!("{dtype:?}"), attended, &expected, 0.0);
        assert!(found(&on_graph[0].clone().require_grad()).is_none());
    });
}

/// The definition's gradients are slopes of the definition.
#[test]
fn definitions_have_the_gradients_of_finite_differences() {
    let sizes = Sizes::of([1, 2, 1, 3, 4, 3, 2]);
    let numbers_of = sizes.numbers();
    let inputs = numbers_of.each_ref().map(Vec::as_slice);
    let above = numbers(2 * 3 * 2, 9);
    let mask = Mask::new([1, 1, 3], 4);
    let hidden = |at| is_later(sizes, at) || mask.hides(at);
    let expected = attention_gradients(sizes, inputs, &above, hidden);
    for (index, expected) in expected.iter().enumerate() {
        assert_slopes(inputs[index], expected, |x| {
            let mut inputs = inputs;
            inputs[index] = x;
            let attended = attended(sizes, inputs, hidden);
            attended.iter().zip(&above).map(|(x, y)| x * y).sum()
        });
    }
}
