//! Feature pyramid, which projects the stages of the trunk to levels of one width.

use anyref_ops as ops;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Tensor, backend::Backend};

use super::config::Sam2VisionConfig;

/// Applies a 1 × 1 convolution to each stage, and sums from coarse to fine (SAM 2 `FpnNeck`,
/// transformers `Sam2VisionNeck`).
#[derive(Module, Debug)]
pub struct FpnNeck<B: Backend> {
    /// Convolutions of the stages, coarsest first.
    pub convs: Vec<Conv2d<B>>,
    top_down_levels: Vec<usize>,
    levels: usize,
}

impl<B: Backend> FpnNeck<B> {
    pub(super) fn new(config: &Sam2VisionConfig, device: &B::Device) -> Self {
        Self {
            convs: config
                .backbone_channel_list
                .iter()
                .map(|&width| {
                    Conv2dConfig::new([width, config.fpn_hidden_size], [1, 1]).init(device)
                })
                .collect(),
            top_down_levels: config.fpn_top_down_levels.clone(),
            levels: config.num_feature_levels,
        }
    }

    /// Finest levels, finest first; coarser ones are only added to them.
    ///
    /// # Shapes
    /// - stages: `[batch, height, width, dim]` each, finest first
    /// - output: `[batch, height, width, fpn_hidden_size]` each
    pub fn forward(&self, stages: Vec<Tensor<B, 4>>) -> Vec<Tensor<B, 4>> {
        let mut coarser: Option<Tensor<B, 4>> = None;
        let mut levels = Vec::with_capacity(stages.len());
        for (level, stage) in stages.into_iter().enumerate().rev() {
            let joins = self.top_down_levels.contains(&level);
            // A coarse level that is neither returned nor added to another is not computed.
            let needed = level < self.levels || self.top_down_levels.contains(&(level - 1));
            if !needed {
                coarser = None;
                continue;
            }
            let conv = &self.convs[self.convs.len() - 1 - level];
            let lateral = ops::pointwise(conv, stage);
            let sum = match coarser.take().filter(|_| joins) {
                Some(coarse) => lateral + doubled(coarse),
                None => lateral,
            };
            coarser = Some(sum.clone());
            if level < self.levels {
                levels.push(sum);
            }
        }
        levels.reverse();
        levels
    }
}

/// Repeats each cell four times (nearest interpolation by 2).
fn doubled<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, height, width, channels] = x.dims();
    x.reshape([batch, height, 1, width, 1, channels])
        .expand([batch, height, 2, width, 2, channels])
        .reshape([batch, 2 * height, 2 * width, channels])
}
