//! Levels of a pyramid that trade channels.

use anyref_ops as ops;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

use super::RegionEncoderConfig;
use crate::resize_corners::resize_corners;

/// Coordinates that are added to a level's channels.
const COORDINATES: usize = 2;

/// Hidden states as levels with coordinates, fused with their neighbours (GLaMM's
/// `MLVLFuseModule`).
#[derive(Module, Debug)]
pub struct LevelFuse<B: Backend> {
    /// Convolutions of 1 × 1 over channels and coordinates, one a level.
    pub input_conv: Vec<Conv2d<B>>,
    /// Convolutions of the rounds, one a round, shared by all levels.
    pub fuse_convs: Vec<ConvGroupNorm<B>>,
}

/// Convolution of 3 × 3 without bias, group normalisation and ReLU (mmcv's `ConvModule`).
#[derive(Module, Debug)]
pub struct ConvGroupNorm<B: Backend> {
    /// Convolution.
    pub conv: Conv2d<B>,
    /// Normalisation of its output.
    pub gn: GroupNorm<B>,
}

impl<B: Backend> LevelFuse<B> {
    pub(super) fn new(config: &RegionEncoderConfig, device: &B::Device) -> Self {
        let channels = config.embed_dim;
        let input = Conv2dConfig::new([channels + COORDINATES, channels], [1, 1]);
        let fuse = Conv2dConfig::new([channels; 2], [3, 3]).with_bias(false);
        let norm = GroupNormConfig::new(config.num_groups, channels);
        Self {
            input_conv: (0..config.num_levels).map(|_| input.init(device)).collect(),
            fuse_convs: (0..config.num_fuse)
                .map(|_| ConvGroupNorm {
                    conv: fuse.init(device),
                    gn: norm.init(device),
                })
                .collect(),
        }
    }

    /// The fused levels, the finest first. Half-precision states are widened inside.
    ///
    /// # Shapes
    /// - levels: each `[batch, channels, side, side]`, all of the tower's grid
    /// - output: each `[batch, channels, s, s]`, where `s` is `side` of the last level and twice as
    ///   much of each one before
    pub(super) fn forward(
        &self,
        levels: Vec<Tensor<B, 4>>,
        config: &RegionEncoderConfig,
    ) -> Vec<Tensor<B, 4>> {
        let dtype = levels.first().map(Tensor::dtype);
        let mut maps: Vec<_> = levels
            .into_iter()
            .enumerate()
            .map(|(level, map)| {
                let [_, _, height, width] = map.dims();
                let times = config.fineness(level);
                // The published order is to resize and then to mix channels; a 1 × 1 convolution
                // commutes with the resizing, and so do the coordinates, at a fraction of the cost.
                let map = with_coordinates(wide(map));
                let map = convolve(&self.input_conv[level], map);
                resize_corners(map, [height * times, width * times])
            })
            .collect();
        for conv in &self.fuse_convs {
            let traded = (0..maps.len()).map(|level| conv.forward(trade(&maps, level)));
            maps = traded.collect();
        }
        match dtype {
            Some(dtype) => maps.into_iter().map(|map| map.cast(dtype)).collect(),
            None => maps,
        }
    }
}

impl<B: Backend> ConvGroupNorm<B> {
    fn forward(&self, map: Tensor<B, 4>) -> Tensor<B, 4> {
        relu(normalise(&self.gn, convolve(&self.conv, map)))
    }
}

/// A level's first half of channels, the last quarter of the next coarser level's and the third
/// quarter of the next finer one's; a level without such a neighbour takes its own.
fn trade<B: Backend>(maps: &[Tensor<B, 4>], level: usize) -> Tensor<B, 4> {
    let [_, channels, height, width] = maps[level].dims();
    let quarter = channels / 4;
    let kept = channels - 2 * quarter;
    let coarser = &maps[(level + 1).min(maps.len() - 1)];
    let finer = &maps[level.saturating_sub(1)];
    let taken = |map: &Tensor<B, 4>, from: usize| {
        resize_corners(map.clone().narrow(1, from, quarter), [height, width])
    };
    Tensor::cat(
        vec![
            maps[level].clone().narrow(1, 0, kept),
            taken(coarser, kept + quarter),
            taken(finer, kept),
        ],
        1,
    )
}

/// A map with the place of each cell, -1 to 1 across and then down, as two more channels.
fn with_coordinates<B: Backend>(map: Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, _, height, width] = map.dims();
    let place = |index: usize, length: usize| match length {
        1 => -1.0,
        _ => 2.0 * index as f32 / (length - 1) as f32 - 1.0,
    };
    let cells = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let across = cells().map(|(x, _)| place(x, width));
    let places: Vec<f32> = across
        .chain(cells().map(|(_, y)| place(y, height)))
        .collect();
    let data = TensorData::new(places, [1, COORDINATES, height, width]);
    let places = Tensor::<B, 4>::from_data(data, (&map.device(), map.dtype()));
    let places = places.expand([batch, COORDINATES, height, width]);
    Tensor::cat(vec![map, places], 1)
}

/// A convolution that keeps the size, in the type of its input.
pub(super) fn convolve<B: Backend>(conv: &Conv2d<B>, map: Tensor<B, 4>) -> Tensor<B, 4> {
    let dtype = map.dtype();
    let weight = conv.weight.val().cast(dtype);
    let [_, _, rows, columns] = weight.dims();
    let bias = conv.bias.as_ref().map(|bias| bias.val().cast(dtype));
    let same_size = ConvOptions::new([1, 1], [rows / 2, columns / 2], [1, 1], 1);
    conv2d(map, weight, bias, same_size)
}

/// Half precision widened.
pub(super) fn wide<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.cast(DType::F32),
        _ => x,
    }
}

/// Group normalisation in the type of its input.
fn normalise<B: Backend>(norm: &GroupNorm<B>, map: Tensor<B, 4>) -> Tensor<B, 4> {
    let dims @ [batch, channels, ..] = map.dims();
    let dtype = map.dtype();
    let values = map.shape().num_elements() / (batch * norm.num_groups);
    let groups = map.reshape([batch, norm.num_groups, values]);
    let centred = groups.clone() - groups.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let map = (centred / (variance + norm.epsilon).sqrt()).reshape(dims);
    let (Some(gamma), Some(beta)) = (&norm.gamma, &norm.beta) else {
        return map;
    };
    let channelwise = |values: Tensor<B, 1>| values.cast(dtype).reshape([1, channels, 1, 1]);
    map * channelwise(gamma.val()) + channelwise(beta.val())
}

/// Tokens of a square grid as a map.
///
/// # Shapes
/// - tokens: `[batch, side * side, channels]`
/// - output: `[batch, channels, side, side]`
pub(super) fn as_map<B: Backend>(tokens: Tensor<B, 3>) -> Tensor<B, 4> {
    let [batch, count, channels] = tokens.dims();
    let side = count.isqrt();
    ops::permute(tokens, [0, 2, 1]).reshape([batch, channels, side, side])
}
