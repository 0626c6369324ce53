//! Position encoding by random frequencies.

use anyref_ops as ops;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Tensor, backend::Backend};

/// Configuration of a [`PositionEmbeddingRandom`].
#[derive(Config, Debug)]
pub struct PositionEmbeddingRandomConfig {
    /// Number of frequencies, half the width of the encoding.
    pub num_pos_feats: usize,
    /// Standard deviation of the frequencies.
    #[config(default = 1.0)]
    pub scale: f64,
}

impl PositionEmbeddingRandomConfig {
    /// Draws the frequencies. They are part of the model, so a checkpoint replaces them.
    pub fn init<B: Backend>(&self, device: &B::Device) -> PositionEmbeddingRandom<B> {
        let normal = Initializer::Normal {
            mean: 0.0,
            std: self.scale,
        };
        PositionEmbeddingRandom {
            positional_encoding_gaussian_matrix: normal
                .init([2, self.num_pos_feats], device)
                .set_require_grad(false),
        }
    }
}

/// `[sin(2π G c), cos(2π G c)]` of a point `c` scaled to `[-1, 1]²`, with a fixed Gaussian matrix
/// `G` (segment-anything `prompt_encoder.py`, `PositionEmbeddingRandom`).
#[derive(Module, Debug)]
pub struct PositionEmbeddingRandom<B: Backend> {
    /// Frequencies of x and y, `[2, num_pos_feats]`: stored, never trained.
    pub positional_encoding_gaussian_matrix: Param<Tensor<B, 2>>,
}

impl<B: Backend> PositionEmbeddingRandom<B> {
    /// Encodes the cell centres of a grid in row-major order, with angles in f32, in type `dtype`.
    ///
    /// # Shapes
    /// - output: `[1, height * width, 2 * num_pos_feats]`
    pub fn grid(&self, sides: [usize; 2], dtype: DType) -> Tensor<B, 3> {
        let matrix = self.positional_encoding_gaussian_matrix.val();
        ops::grid_sinusoids(matrix, sides, dtype)
    }

    /// Encodes points, in f32 regardless of the model's type, since a rounded angle is another
    /// position.
    ///
    /// # Shapes
    /// - points: `[batch, points, 2]`, (x, y) in `[0, 1]`
    /// - output: `[batch, points, 2 * num_pos_feats]`
    pub fn forward(&self, points: Tensor<B, 3>) -> Tensor<B, 3> {
        let matrix = self.positional_encoding_gaussian_matrix.val();
        ops::point_sinusoids(points.cast(DType::F32) * 2.0 - 1.0, matrix)
    }
}
