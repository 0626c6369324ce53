//! Error and memory of a linear layer whose weight is stored in blocks of few bits.
//!
//! ```sh
//! cargo run --release -p anyref-ops --example quantize_linear
//! ```
//!
//! The layer stays a `Linear`: its weight's storage is replaced, and `forward` chooses the kernel.

use anyhow::{Context, Result};
use anyref_ops::blocks::{BlockType, Blocks};
use anyref_ops::nn::{LinearConfig, LinearWeight};
use burn::tensor::{Distribution, Tensor};
use burn_flex::Flex;

const INPUTS: usize = 1024;
const OUTPUTS: usize = 2048;

fn main() -> Result<()> {
    let device = Default::default();
    let dense = LinearConfig::new(INPUTS, OUTPUTS).init::<Flex>(&device);
    let x = Tensor::<Flex, 2>::random([8, INPUTS], Distribution::Normal(0.0, 1.0), &device);
    let expected = dense.forward(x.clone());

    // Blocks hold consecutive inputs of an output, so `[outputs, inputs]`.
    let rows = dense.weight.val().transpose().into_data();
    let values = rows.as_slice::<f32>().ok().context("not f32")?.to_vec();
    println!("f32   {:8} bytes", 4 * values.len());
    for block_type in [BlockType::Q8_0, BlockType::Q4K, BlockType::Q4_0] {
        let blocks = Blocks::quantize(block_type, [OUTPUTS, INPUTS], &values)?;
        let mut layer = dense.clone();
        layer.weight = LinearWeight::from_blocks(&blocks, &device);
        let error = layer.forward(x.clone()) - expected.clone();
        let relative = rms(error) / rms(expected.clone());
        let bytes = blocks.bytes().len();
        println!("{block_type:?} {bytes:9} bytes, relative error {relative:.4}");
    }
    Ok(())
}

/// Root of the mean of the squares.
fn rms(values: Tensor<Flex, 2>) -> f32 {
    values.powi_scalar(2).mean().sqrt().into_scalar()
}
