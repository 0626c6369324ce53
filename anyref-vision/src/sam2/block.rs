//! Block of Hiera.

use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use anyref_ops::{Windows, add, max_pool_2x2};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::attention::MultiScaleAttention;
use super::config::{BlockSizes, HieraConfig};

/// Feed-forward layer (SAM 2 `MLP`).
#[derive(Module, Debug)]
pub struct HieraMlp<B: Backend> {
    /// Expanding layer.
    pub proj_in: Linear<B>,
    /// Contracting layer.
    pub proj_out: Linear<B>,
}

impl<B: Backend> HieraMlp<B> {
    /// Applies the layer.
    ///
    /// # Shapes
    /// - x: `[..., dim]`
    /// - output: `[..., dim]`
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        self.proj_out.forward(self.proj_in.forward_gelu(x))
    }
}

/// Pre-norm block, windowed or global; the first of a stage widens its input and halves its grid
/// (SAM 2 `MultiScaleBlock`).
#[derive(Module, Debug)]
pub struct MultiScaleBlock<B: Backend> {
    /// Normalisation before the attention.
    pub layer_norm1: LayerNorm<B>,
    /// Self-attention.
    pub attn: MultiScaleAttention<B>,
    /// Normalisation before the feed-forward layer.
    pub layer_norm2: LayerNorm<B>,
    /// Feed-forward layer.
    pub mlp: HieraMlp<B>,
    /// Projection of the residual in a block that changes the width.
    pub proj: Option<Linear<B>>,
    window_size: usize,
    pools: bool,
}

impl<B: Backend> MultiScaleBlock<B> {
    pub(super) fn new(config: &HieraConfig, sizes: BlockSizes, device: &B::Device) -> Self {
        let norm = |width| LayerNormConfig::new(width).with_epsilon(config.layer_norm_eps);
        let inner = config.mlp_dim(sizes.dim_out);
        Self {
            layer_norm1: norm(sizes.dim).init(device),
            attn: MultiScaleAttention::new(sizes, device),
            layer_norm2: norm(sizes.dim_out).init(device),
            mlp: HieraMlp {
                proj_in: LinearConfig::new(sizes.dim_out, inner).init(device),
                proj_out: LinearConfig::new(inner, sizes.dim_out).init(device),
            },
            proj: (sizes.dim != sizes.dim_out)
                .then(|| LinearConfig::new(sizes.dim, sizes.dim_out).init(device)),
            window_size: sizes.window,
            pools: sizes.pools,
        }
    }

    /// Applies the block.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, dim]`
    /// - output: `[batch, height, width, dim_out]`, or half of height and width
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [_, height, width, _] = x.dims();
        let normed = self.layer_norm1.forward(x.clone());
        // The wider residual is computed from the normalised input, as in the reference.
        let residual = match &self.proj {
            Some(proj) => self.pooled(proj.forward(normed.clone())),
            None => self.pooled(x),
        };
        let mixed = match self.window_size {
            0 => self.attn.forward(normed),
            side => {
                let windows = Windows::new([height, width], side);
                let mixed = self.attn.forward(windows.partition(normed));
                let after = match self.pools {
                    false => windows,
                    true => Windows {
                        side: side / 2,
                        count: windows.count,
                        grid: windows.grid.map(|cells| cells / 2),
                    },
                };
                after.merge(mixed)
            }
        };
        let [batch, height, width, dim] = mixed.dims();
        let rows = |x: Tensor<B, 4>| x.reshape([batch * height * width, dim]);
        let [x, normed] = self.layer_norm2.forward_sum(rows(residual), rows(mixed));
        let x = add(self.mlp.forward(normed), x);
        x.reshape([batch, height, width, dim])
    }

    fn pooled(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        match self.pools {
            true => max_pool_2x2(x),
            false => x,
        }
    }
}
