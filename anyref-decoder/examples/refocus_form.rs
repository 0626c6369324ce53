//! A form of refocusing for a backend of one's own, beside the composed one.
//!
//! ```sh
//! cargo run --release -p anyref-decoder --example refocus_form
//! ```
//!
//! `Mine` stands for your backend: it is one that this crate knows no form of. Where the type of
//! the backend is yours, implement `RefocusBackend` for it and call `register` in the place of
//! `register_form`; autodiff over it then has gradients too.

use std::time::Instant;

use anyhow::{Result, ensure};
use anyref_decoder::refocus::{
    ObjectToken, RefocusInput, object_attention, refocus, register_form,
};
use burn::backend::Autodiff;
use burn::tensor::{Distribution, Tensor};
use burn_flex::Flex;

type Mine = Autodiff<Autodiff<Flex>>;

/// Adds to each object's state its span's states, by weights from the attention over its context.
/// A kernel or a call of a library would stand here; these are loops over arrays.
fn by_loops(input: RefocusInput<Mine>) -> Tensor<Mine, 2> {
    let ([_, length, width], device) = (input.hidden.dims(), input.hidden.device());
    let attention = object_attention(input.query, input.key, &input.objects);
    let [_, keys] = attention.dims();
    let attention: Vec<f32> = attention.into_data().iter().collect();
    let hidden: Vec<f32> = input.hidden.into_data().iter().collect();
    let state = |row: usize, position: usize| {
        let at = (row * length + position - input.hidden_offset) * width;
        &hidden[at..at + width]
    };
    let mut output = Vec::new();
    for (object, attention) in input.objects.iter().zip(attention.chunks(keys)) {
        let mut sum = state(object.row, object.position).to_vec();
        let total: f32 = attention[object.span()].iter().sum();
        for position in object.span() {
            let weight = input.lambda as f32 * attention[position] / total;
            let states = sum.iter_mut().zip(state(object.row, position));
            states.for_each(|(sum, value)| *sum += weight * value);
        }
        output.extend(sum);
    }
    Tensor::<Mine, 1>::from_floats(output.as_slice(), &device).reshape([input.objects.len(), width])
}

fn main() -> Result<()> {
    let device = Default::default();
    let (normal, positions) = (Distribution::Normal(0.0, 1.0), 512);
    let input = RefocusInput {
        query: Tensor::<Mine, 3>::random([1, 8, 64], normal, &device),
        key: Tensor::random([1, 8, positions, 64], normal, &device),
        hidden: Tensor::random([1, positions, 1024], normal, &device),
        hidden_offset: 0,
        objects: vec![ObjectToken {
            row: 0,
            position: positions - 1,
            start: positions - 20,
            end: positions,
            context_start: 0,
        }],
        lambda: 0.1,
    };
    let timed = |name: &str| {
        let start = Instant::now();
        let states = refocus(input.clone()).into_data();
        println!("{name}: {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
        states.iter::<f32>().collect::<Vec<_>>()
    };
    let composed = timed("composed of tensor operations");
    register_form::<Mine>(by_loops);
    let own = timed("the backend's own form");
    let differences = own.iter().zip(&composed).map(|(a, b)| (a - b).abs());
    let largest = differences.fold(0.0, f32::max);
    println!("largest difference: {largest:.1e}");
    ensure!(largest < 1e-4, "the forms differ");
    Ok(())
}
