//! Objects of scenes as regions of CLIP's patch grid.

use anyref_ops as ops;
use burn::tensor::{Tensor, backend::Backend};

use super::context::{floats, indices};
use super::scene_context::SceneContext;
use crate::trainee::{PretrainingHeads, normalised};
use anyref_data::scenes::Scene;

/// Largest logarithm of the inverse temperature, as in CLIP.
const MAX_LOGIT_SCALE: f64 = 4.6052;

/// Objects of some scenes, with the patches that each covers and its name.
#[derive(Debug)]
pub(super) struct Regions {
    /// Share of each patch in each region, `[scenes, most regions, patches]`, each region summing
    /// to 1.
    shares: Vec<f32>,
    scenes: usize,
    most: usize,
    /// Rows of `shares` that are regions.
    rows: Vec<usize>,
    /// Index of each region's name.
    pub(super) names: Vec<usize>,
}

impl Regions {
    /// Regions of the objects of `scenes`, in order.
    pub(super) fn new<'s>(
        context: &SceneContext,
        scenes: impl ExactSizeIterator<Item = &'s Scene> + Clone,
    ) -> Self {
        let side = context.model.vision_tower.grid_size();
        let patches = side * side;
        let most = scenes
            .clone()
            .map(|scene| scene.objects.len())
            .max()
            .unwrap_or(0);
        let mut regions = Self {
            shares: vec![0.0; scenes.len() * most * patches],
            scenes: scenes.len(),
            most,
            rows: Vec::new(),
            names: Vec::new(),
        };
        for (index, scene) in scenes.enumerate() {
            for (slot, object) in scene.objects.iter().enumerate() {
                let row = index * most + slot;
                let shares = object.mask.coverage(side, side);
                let total: f32 = shares.iter().sum::<f32>().max(1e-6);
                let target = &mut regions.shares[row * patches..][..patches];
                for (target, share) in target.iter_mut().zip(shares) {
                    *target = share / total;
                }
                regions.rows.push(row);
                regions.names.push(context.name(&object.noun).unwrap_or(0));
            }
        }
        regions
    }

    /// Mean features of every region.
    ///
    /// # Shapes
    /// - features: `[scenes, patches, width]`
    /// - output: `[regions, width]`
    pub(super) fn pool<B: Backend>(&self, features: Tensor<B, 3>) -> Tensor<B, 2> {
        let device = features.device();
        let [_, patches, width] = features.dims();
        let shape = [self.scenes, self.most, patches];
        let shares = floats::<B, 3>(self.shares.clone(), shape, &device);
        ops::matmul(shares, features)
            .reshape([self.scenes * self.most, width])
            .select(0, indices(&self.rows, &device))
    }
}

/// Inverse temperature of CLIP, `[1, 1]`.
pub(super) fn temperature<B: Backend>(heads: &PretrainingHeads<B>) -> Tensor<B, 2> {
    heads
        .logit_scale
        .val()
        .clamp_max(MAX_LOGIT_SCALE)
        .exp()
        .unsqueeze()
}

/// Pooled features in the shared space, with length 1.
pub(super) fn embedded<B: Backend>(
    heads: &PretrainingHeads<B>,
    pooled: Tensor<B, 2>,
) -> Tensor<B, 2> {
    normalised(heads.visual.forward(pooled))
}

/// Logits of each row of the shared space for each name, `[rows, names]`.
pub(super) fn name_logits<B: Backend>(
    heads: &PretrainingHeads<B>,
    embedded: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let names = normalised(heads.names.weight.val()).transpose();
    ops::matmul(embedded, names) * temperature(heads)
}
