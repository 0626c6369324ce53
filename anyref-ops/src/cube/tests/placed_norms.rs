//! Layer norms with positions added to them.

use burn::tensor::backend::Backend;

use super::{allowed, assert_near, each_type, normed, numbers, tensor};
use crate::cube::calls::{NormParameters, placed_norm};

/// Two batches with positions for one and for each, of one tensor and of a sum, in widths of one
/// value, odd ones, and ones below and above a cube's units.
pub(super) fn placed_norms_are_their_definition<B: Backend>() {
    let epsilon = 1e-3;
    for [length, width] in [[1, 1], [3, 7], [5, 64], [2, 1000], [7, 2048]] {
        each_type::<B>(|dtype| {
            for (summed, alone) in [(false, true), (true, true), (true, false)] {
                let case = format!("{length}x{width} {dtype:?} {summed} {alone}");
                let count = 2 * length * width;
                let (x, added) = (numbers(count, 1), numbers(count, 2));
                let (gamma, beta) = (numbers(width, 3), numbers(width, 4));
                let parameters = NormParameters::<B> {
                    gamma: tensor(&gamma, [width], dtype),
                    beta: Some(tensor(&beta, [width], dtype)),
                    epsilon,
                };
                let batches = if alone { 1 } else { 2 };
                let places = numbers(batches * length * width, 5);
                let of = |x: &[f64]| tensor::<B, 3>(x, [2, length, width], dtype);
                let found = placed_norm(
                    &of(&x),
                    summed.then(|| of(&added)).as_ref(),
                    &tensor(&places, [batches, length, width], dtype),
                    &parameters,
                );
                let [found, found_placed] = found.expect("a kernel");
                // The sum of two such numbers is exact.
                let sum = x.iter().zip(&added).map(|(x, y)| x + y);
                let sum: Vec<f64> = if summed { sum.collect() } else { x.clone() };
                let expected = normed(&sum, &gamma, Some(&beta), epsilon);
                let placed = expected.iter().zip(places.iter().cycle());
                let placed: Vec<f64> = placed.map(|(x, place)| x + place).collect();
                assert_near(&case, found, &expected, allowed(dtype));
                assert_near(&case, found_placed, &placed, allowed(dtype));
            }
        });
    }
}
