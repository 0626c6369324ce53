//! Pixel shuffle: joins neighbouring tokens, by default four into one.

use anyref_ops as ops;
use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::check;

/// Order of the joined tokens (`ps_version`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelShuffleVersion {
    /// Columns before rows, InternVL's first order: the picture comes out transposed.
    #[default]
    V1,
    /// Rows before columns, used since InternVL 2.
    V2,
}

/// Ratio and order of a [`pixel_shuffle`]. Reads the fields of InternVL's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PixelShuffle {
    /// Ratio of the grid's side after and before the shuffle.
    pub downsample_ratio: f64,
    /// Order of the tokens.
    pub ps_version: PixelShuffleVersion,
}

impl Default for PixelShuffle {
    fn default() -> Self {
        Self {
            downsample_ratio: 0.5,
            ps_version: PixelShuffleVersion::default(),
        }
    }
}

impl PixelShuffle {
    /// Side of the square of tokens that become one.
    ///
    /// # Errors
    /// When `downsample_ratio` is not 1, 1/2, 1/3 and so on, or the side of the grid is not a
    /// multiple.
    pub fn factor(&self, grid_size: usize) -> Result<usize> {
        let ratio = self.downsample_ratio;
        let factor = (1.0 / ratio).round();
        let whole = ratio > 0.0 && factor >= 1.0 && (factor * ratio - 1.0).abs() < 1e-6;
        check("InternVL", "downsample_ratio", whole, || {
            format!("is {ratio}: it must be 1, 0.5 or another whole part of 1")
        })?;
        let factor = factor as usize;
        let fits = factor <= grid_size && grid_size.is_multiple_of(factor);
        check("InternVL", "downsample_ratio", fits, || {
            format!("is {ratio}: it must cut a grid of {grid_size} patches a side evenly")
        })?;
        Ok(factor)
    }
}

/// Joins `factor` by `factor` neighbours of a square grid into one token.
///
/// # Shapes
/// - features: `[tiles, side * side, width]`
/// - output: `[tiles, (side / factor)^2, width * factor^2]`
///
/// # Panics
/// When the tokens are not a square grid, or `factor` does not divide its side.
pub fn pixel_shuffle<B: Backend>(
    features: Tensor<B, 3>,
    factor: usize,
    version: PixelShuffleVersion,
) -> Tensor<B, 3> {
    let [tiles, tokens, width] = features.dims();
    let side = tokens.isqrt();
    assert!(
        side * side == tokens && side.is_multiple_of(factor),
        "{tokens} tokens are no square grid that {factor} divides"
    );
    let less = side / factor;
    let x = features.reshape([tiles, side, less, width * factor]);
    let x = ops::permute(x, [0, 2, 1, 3]);
    let x = x.reshape([tiles, less, less, width * factor * factor]);
    let x = match version {
        PixelShuffleVersion::V1 => x,
        PixelShuffleVersion::V2 => ops::permute(x, [0, 2, 1, 3]),
    };
    x.reshape([tiles, less * less, width * factor * factor])
}
