//! Preprocessing of InternVL: a picture as tiles of the tower's square.

use image::{RgbImage, imageops};

use super::imagenet::imagenet_pixels;
use super::pixels::PixelValues;
use super::resample::{Filter, resize};
use crate::Result;
use crate::error::check;

/// Maximum tiles that a configuration may request; published ones request at most 12.
const MOST_TILES: usize = 256;

/// Cuts pictures into tiles (InternVL's `dynamic_preprocess`): the grid of 1 to `max_tiles` tiles
/// whose aspect ratio is nearest to the picture's, then a thumbnail of the whole if there are
/// several tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePreprocessor {
    image_size: usize,
    max_tiles: usize,
    thumbnail: bool,
}

impl TilePreprocessor {
    /// Creates a preprocessor for a tower of this side, with a thumbnail.
    ///
    /// # Errors
    /// When the side is 0, or `max_tiles` is 0 or above 256.
    pub fn new(image_size: usize, max_tiles: usize) -> Result<Self> {
        check("InternVL", "image_size", image_size > 0, || {
            "is 0: make it 448".to_owned()
        })?;
        let allowed = (1..=MOST_TILES).contains(&max_tiles);
        check("InternVL", "max_dynamic_patch", allowed, || {
            format!("is {max_tiles}: make it 1 to {MOST_TILES}")
        })?;
        Ok(Self {
            image_size,
            max_tiles,
            thumbnail: true,
        })
    }

    /// Enables or disables the thumbnail after several tiles.
    pub fn with_thumbnail(mut self, thumbnail: bool) -> Self {
        self.thumbnail = thumbnail;
        self
    }

    /// Columns and rows of the grid for a picture. Among grids of equal aspect ratio the larger is
    /// chosen if the picture covers more than half of its pixels.
    ///
    /// # Panics
    /// When the picture has no pixels.
    pub fn grid(&self, width: u32, height: u32) -> [usize; 2] {
        assert!(width > 0 && height > 0, "pictures have at least one pixel");
        let shape = f64::from(width) / f64::from(height);
        let area = f64::from(width) * f64::from(height);
        let half_tile = 0.5 * (self.image_size * self.image_size) as f64;
        let mut nearest = f64::INFINITY;
        let mut best = [1, 1];
        for [columns, rows] in self.grids() {
            let difference = (shape - columns as f64 / rows as f64).abs();
            let larger = area > half_tile * (columns * rows) as f64;
            if difference < nearest || (difference == nearest && larger) {
                (nearest, best) = (difference, [columns, rows]);
            }
        }
        best
    }

    /// Grids of up to `max_tiles` tiles, in ascending order of tiles.
    fn grids(&self) -> Vec<[usize; 2]> {
        let sides = 1..=self.max_tiles;
        let mut grids: Vec<[usize; 2]> = sides
            .flat_map(|columns| (1..=self.max_tiles / columns).map(move |rows| [columns, rows]))
            .collect();
        grids.sort_by_key(|[columns, rows]| columns * rows);
        grids
    }

    /// Tiles of a picture row by row, the thumbnail last, resized by antialiased bicubic.
    ///
    /// # Panics
    /// When the picture has no pixels.
    pub fn tiles(&self, image: &RgbImage) -> Vec<RgbImage> {
        let [columns, rows] = self.grid(image.width(), image.height());
        let side = self.image_size as u32;
        let (across, down) = (columns as u32 * side, rows as u32 * side);
        let whole = resize(image, across, down, Filter::Bicubic);
        let mut tiles = Vec::with_capacity(columns * rows + 1);
        for y in (0..down).step_by(self.image_size) {
            for x in (0..across).step_by(self.image_size) {
                tiles.push(imageops::crop_imm(&whole, x, y, side, side).to_image());
            }
        }
        if self.thumbnail && tiles.len() > 1 {
            tiles.push(resize(image, side, side, Filter::Bicubic));
        }
        tiles
    }

    /// Normalised pixels of a picture's [`tiles`](Self::tiles), by ImageNet's means and deviations.
    ///
    /// # Panics
    /// When the picture has no pixels.
    pub fn process(&self, image: &RgbImage) -> Vec<PixelValues> {
        self.tiles(image).iter().map(imagenet_pixels).collect()
    }
}
