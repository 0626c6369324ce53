//! Network of the fixtures.

#![allow(dead_code)]

use std::path::PathBuf;

use anyref_ops::nn::{LayerNorm, LayerNormConfig};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

pub type TestBackend = burn_flex::Flex;

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    pub norm: LayerNorm<B>,
    pub fc: Linear<B>,
    pub proj: Linear<B>,
}

#[derive(Module, Debug)]
pub struct Net<B: Backend> {
    pub conv: Conv2d<B>,
    pub token: Embedding<B>,
    pub position: Param<Tensor<B, 3>>,
    pub layers: Vec<Block<B>>,
    pub head: Linear<B>,
}

impl<B: Backend> Net<B> {
    pub fn new(device: &B::Device) -> Self {
        let block = || Block {
            norm: LayerNormConfig::new(6).init(device),
            fc: LinearConfig::new(6, 12).init(device),
            proj: LinearConfig::new(12, 6).with_bias(false).init(device),
        };
        Self {
            conv: Conv2dConfig::new([3, 6], [2, 2])
                .with_stride([2, 2])
                .init(device),
            token: EmbeddingConfig::new(5, 6).init(device),
            position: Initializer::Zeros.init([1, 4, 6], device),
            layers: (0..2).map(|_| block()).collect(),
            head: LinearConfig::new(6, 4).init(device),
        }
    }

    pub fn forward(&self, pixels: Tensor<B, 4>, ids: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let x = self.conv.forward(pixels).flatten::<3>(2, 3).swap_dims(1, 2);
        let mut x = x + self.position.val() + self.token.forward(ids);
        for layer in &self.layers {
            let inner = relu(layer.fc.forward(layer.norm.forward(x.clone())));
            x = x + layer.proj.forward(inner);
        }
        self.head.forward(x)
    }
}
