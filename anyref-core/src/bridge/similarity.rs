//! Similarity of things in pictures, by CLIP's features.

use anyref_decoder::rle::Rle;
use anyref_vision::preprocess::PixelValues;
use burn::tensor::{Tensor, backend::Backend};
use image::RgbImage;

use crate::connected::regions;
use crate::read::read;
use crate::{AnyRef, Mask, ReferenceImage, Result};

/// Pieces of a mask that are candidates of their own have at least this share of its pixels.
const LEAST_SHARE: f64 = 0.05;

impl<B: Backend> AnyRef<B> {
    /// Mean of the tower's patch features of a picture, `[channels]`.
    async fn look(&self, shown: &RgbImage) -> Result<Vec<f32>> {
        let squares = self.preprocessor().squares(shown)?;
        let pixels = PixelValues::batch::<B>(&squares, self.device());
        let features = self.model.tiled_features(pixels, squares.len()).grid;
        let [_, channels, ..] = features.dims();
        let mean: Tensor<B, 1> = features.mean_dims(&[2, 3]).reshape([channels]);
        Ok(read(mean).await?.convert::<f32>().iter::<f32>().collect())
    }

    /// Cosine similarity of `shown` with what each mask of `image` covers, cut out before black.
    pub(super) async fn similarities(
        &self,
        shown: &RgbImage,
        image: &RgbImage,
        masks: &[Mask],
    ) -> Result<Vec<f32>> {
        let wanted = self.look(shown).await?;
        let mut similarities = Vec::with_capacity(masks.len());
        for mask in masks {
            let cut = ReferenceImage::masked(image, &mask.to_image())?;
            similarities.push(cosine(&wanted, &self.look(cut.image()).await?));
        }
        Ok(similarities)
    }
}

/// Masks and, where one is in several pieces, these too, each with its mask's score. Empty masks
/// are left out.
pub(super) fn with_pieces(masks: &[Mask]) -> Result<Vec<Mask>> {
    let mut candidates = Vec::new();
    for mask in masks.iter().filter(|mask| mask.area() > 0) {
        let least = (mask.area() as f64 * LEAST_SHARE).ceil() as usize;
        let pieces = pieces(&mask.rle.to_mask(), mask.rle.size(), least.max(1));
        candidates.push(mask.clone());
        if pieces.len() > 1 {
            for pixels in pieces {
                candidates.push(Mask {
                    rle: Rle::from_mask(&pixels, mask.rle.size())?,
                    low_res: None,
                    ..mask.clone()
                });
            }
        }
    }
    Ok(candidates)
}

/// Connected pieces of a mask, of at least `least` pixels.
fn pieces(mask: &[bool], size: [usize; 2], least: usize) -> Vec<Vec<bool>> {
    let large = regions(mask, size, true).into_iter();
    let large = large.filter(|region| region.len() >= least);
    let piece = |region: Vec<usize>| {
        let mut pixels = vec![false; mask.len()];
        region.into_iter().for_each(|place| pixels[place] = true);
        pixels
    };
    large.map(piece).collect()
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    match lengths > 0.0 {
        true => (dot(one, other) / lengths) as f32,
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_in_pieces_brings_them_along() {
        // Two blocks of four pixels and one stray pixel.
        let rows = ["##....", "##..##", "....##", "#....."];
        let pixels: Vec<bool> = rows.concat().chars().map(|c| c == '#').collect();
        let found = pieces(&pixels, [4, 6], 2);
        let sizes = found
            .iter()
            .map(|piece| piece.iter().filter(|on| **on).count());
        assert_eq!(sizes.collect::<Vec<_>>(), [4, 4]);
        assert!(found[0][0] && found[1][10] && !found[0][10]);
        let mask = Mask {
            rle: Rle::from_mask(&pixels, [4, 6]).unwrap(),
            score: 0.5,
            words: None,
            low_res: None,
        };
        let candidates = with_pieces(&[mask]).unwrap();
        let areas: Vec<u64> = candidates.iter().map(Mask::area).collect();
        assert_eq!(areas, [9, 4, 4, 1]);
        let empty = Mask {
            rle: Rle::from_mask(&[false; 4], [2, 2]).unwrap(),
            score: 0.5,
            words: None,
            low_res: None,
        };
        assert!(with_pieces(&[empty]).unwrap().is_empty());
    }

    #[test]
    fn cosine_is_of_directions() {
        assert!((cosine(&[1.0, 0.0], &[3.0, 4.0]) - 0.6).abs() < 1e-6);
        assert_eq!(cosine(&[0.0, 0.0], &[3.0, 4.0]), 0.0);
    }
}
