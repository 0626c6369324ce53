//! Self-attention like `torch.nn.MultiheadAttention`, with one learned key and value
//! (`add_bias_kv=True`) or with a causal mask.

use anyref_ops::nn::{Linear, LinearConfig};
use anyref_ops::{AttentionInput, append_row, attention};
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::joint_weight::JointWeight;

/// Configuration of [`MultiheadAttention`].
#[derive(Config, Debug)]
pub struct MultiheadAttentionConfig {
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Number of heads, a divisor of the width.
    pub num_heads: usize,
    /// Adds a learned key and value that every token attends to.
    #[config(default = false)]
    pub add_bias_kv: bool,
    /// Restricts each token to itself and earlier ones.
    #[config(default = false)]
    pub causal: bool,
}

impl MultiheadAttentionConfig {
    /// Creates the layer.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    pub fn init<B: Backend>(&self, device: &B::Device) -> MultiheadAttention<B> {
        let h = self.hidden_size;
        assert!(
            self.num_heads > 0 && h.is_multiple_of(self.num_heads),
            "hidden_size {h} is no multiple of num_heads {}",
            self.num_heads
        );
        let uniform = Initializer::XavierUniform { gain: 1.0 };
        let normal = Initializer::XavierNormal { gain: 1.0 };
        let bias = || normal.init_with([1, 1, h], Some(h), Some(h), device);
        MultiheadAttention {
            in_proj_weight: JointWeight::Floats(uniform.init_with(
                [3 * h, h],
                Some(h),
                Some(3 * h),
                device,
            )),
            in_proj_bias: Initializer::Zeros.init([3 * h], device),
            bias_k: self.add_bias_kv.then(bias),
            bias_v: self.add_bias_kv.then(bias),
            out_proj: LinearConfig::new(h, h)
                .with_initializer(uniform)
                .init(device),
            num_heads: self.num_heads,
            causal: self.causal,
        }
    }
}

/// Multi-head self-attention. The learned key and value, if any, are appended after the projection.
///
/// Should be created with [`MultiheadAttentionConfig`].
#[derive(Module, Debug)]
pub struct MultiheadAttention<B: Backend> {
    /// Query, key and value projections stacked, `[3 * hidden, hidden]`, output dimension first as
    /// in PyTorch.
    pub in_proj_weight: JointWeight<B>,
    /// Biases of these projections, `[3 * hidden]`.
    pub in_proj_bias: Param<Tensor<B, 1>>,
    /// Learned key, `[1, 1, hidden]`.
    pub bias_k: Option<Param<Tensor<B, 3>>>,
    /// Learned value, `[1, 1, hidden]`.
    pub bias_v: Option<Param<Tensor<B, 3>>>,
    /// Output projection.
    pub out_proj: Linear<B>,
    /// Number of heads.
    pub num_heads: usize,
    /// Restricts each token to itself and earlier ones.
    pub causal: bool,
}

impl<B: Backend> MultiheadAttention<B> {
    /// Applies the attention.
    ///
    /// # Shapes
    /// - x: `[batch, tokens, hidden]`
    /// - output: `[batch, tokens, hidden]`
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let [_, tokens, _] = x.dims();
        self.forward_first(x, tokens)
    }

    /// Computes the output of the first `count` tokens, which attend to all; with a causal mask
    /// `count` is the number of all.
    ///
    /// # Shapes
    /// - x: `[batch, tokens, hidden]`
    /// - output: `[batch, count, hidden]`
    pub(super) fn forward_first(&self, x: Tensor<B, 3>, count: usize) -> Tensor<B, 3> {
        let [batch, tokens, hidden] = x.dims();
        assert!(count == tokens || !self.causal && count < tokens);
        let projected = self.in_proj_weight.product(x, &self.in_proj_bias);
        let part = |i: usize| projected.clone().narrow(2, i * hidden, hidden);
        let append = |x: Tensor<B, 3>, bias: &Option<Param<Tensor<B, 3>>>| match bias {
            Some(bias) => append_row(x, bias.val()),
            None => x,
        };
        let heads = |x: Tensor<B, 3>| {
            let [batch, length, hidden] = x.dims();
            x.reshape([batch, length, self.num_heads, hidden / self.num_heads])
                .swap_dims(1, 2)
        };
        let input = AttentionInput::new(
            heads(part(0).narrow(1, 0, count)),
            heads(append(part(1), &self.bias_k)),
            heads(append(part(2), &self.bias_v)),
        );
        let input = input.with_causal(self.causal);
        let attended = attention(input.with_rounded(self.in_proj_weight.rounds_inputs()));
        let attended = attended.swap_dims(1, 2).reshape([batch, count, hidden]);
        self.out_proj.forward(attended)
    }
}
