//! RoIAlign (torchvision `ops.roi_align`): features of a box on a fixed grid.
//!
//! Bilinear sampling and averaging are linear and separate into rows and columns. A box therefore
//! becomes two small matrices built on the host, and the operation two matrix products,
//! differentiable in the features on every backend.

use std::ops::Range;

use anyref_ops as ops;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

/// Box on one of the pictures of a batch, in the unit that `spatial_scale` converts to cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegionBox {
    /// Index of the picture in the batch.
    pub batch: usize,
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
}

/// Sampling of boxes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoiAlignConfig {
    /// Rows and columns of the result.
    pub output_size: [usize; 2],
    /// Scale of box coordinates, in cells per pixel.
    pub spatial_scale: f64,
    /// Samples along each side of a bin; `None` takes one per cell, rounded up.
    pub sampling_ratio: Option<usize>,
    /// Shifts boxes by half a cell, so that cell centres align. If unset, boxes are at least one
    /// cell large.
    pub aligned: bool,
}

impl RoiAlignConfig {
    /// Aligned sampling, with as many samples as cells.
    pub fn new(output_size: [usize; 2], spatial_scale: f64) -> Self {
        Self {
            output_size,
            spatial_scale,
            sampling_ratio: None,
            aligned: true,
        }
    }
}

/// Pools each box to `output_size`. A box with a coordinate that is not finite gives zeros, as does
/// any part of a box more than a cell outside the grid.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - output: `[boxes, channels, rows, columns]`
///
/// # Panics
/// When a box is on a picture that is not in the batch.
pub fn roi_align<B: Backend>(
    features: Tensor<B, 4>,
    boxes: &[RegionBox],
    config: &RoiAlignConfig,
) -> Tensor<B, 4> {
    let [batch, channels, height, width] = features.dims();
    let device = features.device();
    let dtype = features.dtype();
    let [rows, columns] = config.output_size;
    let count = boxes.len();
    if count == 0 {
        return Tensor::zeros([0, channels, rows, columns], (&device, dtype));
    }
    let mut down = Vec::with_capacity(count * rows * height);
    let mut across = Vec::with_capacity(count * columns * width);
    let mut pictures = Vec::with_capacity(count);
    for region in boxes {
        assert!(
            region.batch < batch,
            "box on picture {} of a batch of {batch}",
            region.batch
        );
        pictures.push(region.batch as i64);
        // The sampling density of a box depends on both sides being finite.
        let finite = [region.x0, region.y0, region.x1, region.y1]
            .iter()
            .all(|v| v.is_finite());
        let (y, x) = if finite {
            ([region.y0, region.y1], [region.x0, region.x1])
        } else {
            ([f32::NAN; 2], [f32::NAN; 2])
        };
        sampling_matrix(&mut down, y, rows, height, config);
        sampling_matrix(&mut across, x, columns, width, config);
    }
    let down = TensorData::new(down, [count, 1, rows, height]);
    let across = TensorData::new(across, [count, 1, columns, width]);
    let down = Tensor::<B, 4>::from_data(down, (&device, dtype));
    let across = Tensor::<B, 4>::from_data(across, (&device, dtype));
    let pictures = Tensor::<B, 1, Int>::from_data(TensorData::new(pictures, [count]), &device);
    let features = if batch == 1 && count == 1 {
        features
    } else {
        features.select(0, pictures)
    };
    ops::matmul(down, ops::matmul(features, across.swap_dims(2, 3)))
}

/// Appends the `[bins, cells]` weights of one side of a box.
fn sampling_matrix(
    weights: &mut Vec<f32>,
    [start, end]: [f32; 2],
    bins: usize,
    cells: usize,
    config: &RoiAlignConfig,
) {
    let first = weights.len();
    weights.resize(first + bins * cells, 0.0);
    let weights = &mut weights[first..];
    if !(start.is_finite() && end.is_finite()) {
        return;
    }
    // torchvision's kernel computes in f32; the number of samples depends on it.
    let scale = config.spatial_scale as f32;
    let offset = if config.aligned { 0.5 } else { 0.0 };
    let start = start * scale - offset;
    let mut length = end * scale - offset - start;
    if !config.aligned {
        length = length.max(1.0);
    }
    let bin = length / bins as f32;
    let samples = config.sampling_ratio.filter(|&ratio| ratio > 0);
    let samples = samples.unwrap_or_else(|| bin.ceil().max(0.0) as usize);
    let share = 1.0 / samples.max(1) as f32;
    let step = bin / samples.max(1) as f32;
    for (index, row) in weights.chunks_exact_mut(cells).enumerate() {
        let origin = start + index as f32 * bin;
        for sample in visible(origin, step, samples, cells) {
            let position = origin + (sample as f32 + 0.5) * step;
            if !(-1.0..=cells as f32).contains(&position) {
                continue;
            }
            let position = position.max(0.0);
            let low = (position as usize).min(cells - 1);
            let high = (low + 1).min(cells - 1);
            let fraction = if low == high {
                0.0
            } else {
                position - low as f32
            };
            row[low] += (1.0 - fraction) * share;
            row[high] += fraction * share;
        }
    }
}

/// Samples that may fall on the grid; bounds the time of a box far larger than the picture.
fn visible(origin: f32, step: f32, samples: usize, cells: usize) -> Range<usize> {
    /// Above this the grid's share of a box is below the precision of f32 coordinates.
    const MOST: usize = 1 << 20;
    if samples > MOST {
        return 0..0;
    }
    if step <= 0.0 {
        return 0..samples;
    }
    // One more sample at each end, for rounding.
    let from = ((-1.0 - origin) / step - 1.5).max(0.0) as usize;
    let to = ((cells as f32 - origin) / step + 1.5).max(0.0) as usize;
    from.min(samples)..to.min(samples)
}
